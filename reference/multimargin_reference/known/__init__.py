"""Known faults of MultiMarginLoss, which a conformance suite must reject, and legal variants, which it must accept."""

from __future__ import annotations

from multimargin_reference.known import (
    faults_algebra,
    faults_arguments,
    faults_batches,
    faults_beyond,
    faults_close,
    faults_conditional,
    faults_edges,
    faults_elsewhere,
    faults_factors,
    faults_gradients,
    faults_keys,
    faults_layout,
    faults_magnitudes,
    faults_margin,
    faults_memory,
    faults_narrow,
    faults_paths,
    faults_precision,
    faults_range,
    faults_reductions,
    faults_same_arrays,
    faults_shapes,
    faults_specials,
    faults_state,
    faults_target_shapes,
    faults_targets,
    faults_together,
    faults_unusual,
    faults_validation,
    faults_values,
    faults_weights,
    faults_windows,
)
from multimargin_reference.known.alike import ALIKE
from multimargin_reference.known.catalogue import Fault, Variant
from multimargin_reference.known.model import MODEL, Backend, Custom, Model, Request
from multimargin_reference.known.variants import VARIANTS

GROUPS = (
    faults_values,
    faults_margin,
    faults_weights,
    faults_reductions,
    faults_shapes,
    faults_batches,
    faults_gradients,
    faults_factors,
    faults_precision,
    faults_range,
    faults_specials,
    faults_memory,
    faults_state,
    faults_keys,
    faults_layout,
    faults_targets,
    faults_target_shapes,
    faults_validation,
    faults_arguments,
    faults_narrow,
)
WHOLE: tuple[Fault, ...] = tuple(fault for group in GROUPS for fault in group.FAULTS)
FAULTS: tuple[Fault, ...] = (
    *WHOLE,
    *faults_conditional.narrowed(WHOLE),
    *faults_edges.FAULTS,
    *faults_paths.FAULTS,
    *faults_magnitudes.FAULTS,
    *faults_together.FAULTS,
    *faults_algebra.FAULTS,
    *faults_specials.TOGETHER,
    *faults_arguments.OTHER_NAMES,
    *faults_unusual.FAULTS,
    *faults_beyond.FAULTS,
    *faults_beyond.narrowed(WHOLE),
    *faults_same_arrays.FAULTS,
    *faults_close.FAULTS,
    *faults_close.narrowed(WHOLE),
    *faults_windows.FAULTS,
    *faults_elsewhere.FAULTS,
)

__all__ = ["ALIKE", "FAULTS", "MODEL", "VARIANTS", "WHOLE", "Backend", "Custom", "Fault", "Model", "Request", "Variant"]
