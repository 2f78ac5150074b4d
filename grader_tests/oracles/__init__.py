"""Where the references come from: by hand, slow loops in float64, published code.

Each step<N>.py has `make(generator) -> dict[str, Tensor]`, whose names are
"<function>.<case>.<what>", e.g. "iou.odd.boxes1". Nothing here knows assignment/.
"""
