// The protocol part is what `multimargin scaffold --language javascript` writes; loss.mjs is the example.
export * from "../../conformance/multimargin_conformance/templates/javascript/protocol.mjs";
