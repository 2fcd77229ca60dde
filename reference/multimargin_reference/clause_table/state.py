"""Clauses of side effects and of the class: PURITY, CLASS."""

from __future__ import annotations

from multimargin_reference.clause_table.model import DOCUMENTATION, PYTORCH, clause

CLAUSES = (
    clause(
        "PURITY-1",
        "arguments unchanged",
        "MUST",
        "core",
        "A call MUST NOT change input, target, weight or grad_output.",
        """
        >>> x, y, w = np.array([[0.0, 1.0]]), np.array([0]), np.array([2.0, 1.0])
        >>> _ = multi_margin_loss(x, y, weight=w), multi_margin_loss_backward(1.0, x, y, weight=w)
        >>> print(x.tolist(), y.tolist(), w.tolist())
        [[0.0, 1.0]] [0] [2.0, 1.0]
        """,
        PYTORCH,
    ),
    clause(
        "PURITY-2",
        "repeatable",
        "MUST",
        "core",
        """The same call MUST give the same bits every time, unless the backend declares that it varies from run to
        run.""",
        """
        >>> x = np.sin(np.arange(3000.0)).reshape(3, 1000)
        >>> print(len({multi_margin_loss(x, [7, 8, 9]).tobytes() for _ in range(4)}))
        1
        """,
        PYTORCH,
    ),
    clause(
        "PURITY-3",
        "stateless",
        "MUST",
        "core",
        "A result MUST NOT depend on any other call, earlier or at the same time in another thread: not on its values, "
        "sizes, options or errors.",
        """
        >>> x, y = np.array([[0.0, 1.0]]), np.array([0])
        >>> before = multi_margin_loss(x, y)
        >>> _ = multi_margin_loss(np.full((9, 9), nan), np.zeros(9, np.int64), p=2)
        >>> print(before, multi_margin_loss(x, y))
        1.0 1.0
        """,
        PYTORCH,
    ),
    clause(
        "PURITY-4",
        "result stays",
        "MUST",
        "core",
        "A returned result MUST NOT change afterwards, neither by a later call nor by a change to an argument.",
        """
        >>> x, y = np.array([[0.0, 1.0]]), np.array([0])
        >>> result = multi_margin_loss(x, y, reduction="none")
        >>> x[0, 1] = 5
        >>> print(multi_margin_loss(x, y, reduction="none"), result)
        [3.] [1.]
        """,
        PYTORCH,
    ),
    clause(
        "PURITY-5",
        "layout",
        "MUST",
        "core",
        """Arguments that are strided, reversed, broadcast (stride 0), in Fortran order, unaligned or in one memory MUST
        give a result inside the enclosure of the same values in C order, so the same result where nothing rounds.""",
        """
        >>> x = np.array([[0.5, 0.25, 1, -2], [0, 1, 2, 3]])
        >>> layouts = x, np.asfortranarray(x), np.repeat(x, 2, axis=1)[:, ::2], x[:, ::-1].copy()[:, ::-1]
        >>> print({float(multi_margin_loss(layout, [0, 3])) for layout in layouts})
        {0.28125}
        """,
        PYTORCH,
    ),
    clause(
        "PURITY-6",
        "read-only arguments",
        "MUST",
        "core",
        "Arguments in read-only memory MUST be accepted.",
        """
        >>> x = np.array([[0.0, 1.0]])
        >>> x.flags.writeable = False
        >>> print(multi_margin_loss(x, [0]))
        1.0
        """,
        PYTORCH,
    ),
    clause(
        "CLASS-1",
        "constructor",
        "MUST",
        "torch",
        """The class MUST take p, margin, weight, size_average, reduce and reduction in this order, by position or by
        name, with the defaults 1, 1.0, None, None, None and 'mean', and keep p, margin, weight and reduction as
        attributes.""",
        """
        >>> criterion = MultiMarginLoss()
        >>> print(criterion.p, criterion.margin, criterion.weight, criterion.reduction)
        1 1.0 None mean
        >>> print(MultiMarginLoss(2, 0.5, None, None, None, "sum")(np.array([[0.0, 1.0]]), [0]))  # 1.5**2 / 2
        1.125
        """,
        DOCUMENTATION,
    ),
    clause(
        "CLASS-2",
        "validation",
        "MUST",
        "torch",
        """The constructor MUST reject a `p` other than 1 and 2 and a weight that is not 1-D with an error, and it or
        the call every other invalid argument of the REJECT clauses.""",
        """
        >>> for options in ({"p": 3}, {"weight": np.ones((1, 2))}):
        ...     try:
        ...         MultiMarginLoss(**options)
        ...     except ValueError as error:
        ...         print(error)
        p=3, but should be 1 or 2
        weight has 2 dimensions, but should have 1
        """,
        DOCUMENTATION,
        PYTORCH,
    ),
    clause(
        "CLASS-3",
        "legacy flags",
        "MUST",
        "torch",
        """When size_average or reduce is given, the pair MUST override reduction ('none' for a false reduce, else 'sum'
        for a false size_average, else 'mean') and cause one warning over the
        constructor and its calls, while without them there is none.""",
        """
        >>> import warnings
        >>> for flags in ({"size_average": False}, {"reduce": False}, {"size_average": True, "reduction": "sum"}):
        ...     with warnings.catch_warnings(record=True) as caught:
        ...         warnings.simplefilter("always")
        ...         print(MultiMarginLoss(**flags).reduction, len(caught))
        sum 1
        none 1
        mean 1
        """,
        DOCUMENTATION,
        PYTORCH,
    ),
    clause(
        "CLASS-4",
        "weight buffer",
        "MUST",
        "torch",
        """The module's weight MUST be a buffer named weight, and none when it is None: part of its state_dict,
        converted by .to and kept by pickling and copying.""",
        """
        >>> import copy, torch
        >>> from multimargin_reference.torch import MultiMarginLoss
        >>> criterion = copy.deepcopy(MultiMarginLoss(weight=torch.tensor([2.0, 1.0])).double())
        >>> print({name: (value.tolist(), value.dtype) for name, value in criterion.state_dict().items()})
        {'weight': ([2.0, 1.0], torch.float64)}
        """,
        PYTORCH,
    ),
    clause(
        "CLASS-5",
        "autograd",
        "MUST",
        "torch",
        """Automatic differentiation of the result MUST give the gradient of the clauses GRADIENT-1 to GRADIENT-11 with
        respect to input, or an error where an argument or the result was changed in place after the call.""",
        """
        >>> import torch
        >>> from multimargin_reference.torch import MultiMarginLoss
        >>> x = torch.tensor([[0.5, 0.25, 1, -2]], requires_grad=True)
        >>> (-2 * MultiMarginLoss()(x, torch.tensor([0]))).backward()
        >>> print((x.grad + 0).tolist())
        [[1.0, -0.5, -0.5, 0.0]]
        """,
        PYTORCH,
    ),
    clause(
        "CLASS-6",
        "transforms",
        "SHOULD",
        "torch",
        """Function transforms (vmap, func.grad, checkpointing, autocast) SHOULD give what the plain call gives row by
        row.""",
        """
        >>> import torch
        >>> from multimargin_reference.torch import multi_margin_loss
        >>> x, y = torch.tensor([[0.5, 0.25, 1, -2], [0, 0, 0, 0]]), torch.tensor([0, 1])
        >>> print(torch.vmap(torch.func.grad(multi_margin_loss))(x, y).tolist())
        [[-0.5, 0.25, 0.25, 0.0], [0.25, -0.75, 0.25, 0.25]]
        """,
        PYTORCH,
    ),
    clause(
        "CLASS-7",
        "meta shapes",
        "MUST",
        "torch",
        "On meta and fake tensors loss and gradient MUST have the shape and the dtype that they have with values.",
        """
        >>> import torch
        >>> from multimargin_reference.torch import multi_margin_loss
        >>> x, y = torch.empty(3, device="meta"), torch.empty((), dtype=torch.int64, device="meta")
        >>> result = multi_margin_loss(x, y, reduction="none")
        >>> print(tuple(result.shape), result.dtype)
        () torch.float32
        """,
        DOCUMENTATION,
        PYTORCH,
    ),
    clause(
        "CLASS-8",
        "compiled",
        "MUST",
        "torch",
        """A compiled or exported call MUST keep every clause that the eager call keeps, the kink and the
        shapes included.""",
        """
        >>> import torch
        >>> from multimargin_reference.torch import multi_margin_loss
        >>> x = torch.tensor([[1, 0, 0, 0.5]], requires_grad=True)
        >>> torch.compile(multi_margin_loss, backend="eager")(x, torch.tensor([0])).backward()
        >>> print(x.grad.tolist())
        [[-0.25, 0.0, 0.0, 0.25]]
        """,
        DOCUMENTATION,
        PYTORCH,
    ),
    clause(
        "CLASS-9",
        "higher derivatives",
        "MUST",
        "torch",
        """A second derivative, a derivative with respect to weight and a forward-mode derivative MUST be right or be
        refused with an error, never silently zero, missing or wrong.""",
        """
        >>> import torch
        >>> from multimargin_reference.torch import multi_margin_loss
        >>> x = torch.tensor([[0.5, 0.25, 1, -2]], dtype=torch.float16, requires_grad=True)
        >>> loss = multi_margin_loss(x, torch.tensor([0]), p=2)
        >>> (gradient,) = torch.autograd.grad(loss, x, create_graph=True)
        >>> gradient.sum().backward()
        Traceback (most recent call last):
        NotImplementedError: multi_margin_loss can be differentiated only once
        """,
        PYTORCH,
    ),
)
