"""What the portable code computes for a problem of the compiled code: for higher derivatives."""

import dataclasses

from keras_pac.ops._implementations.kernel_form import KernelForm
from keras_pac.ops._implementations.portable import TAPS


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class CenteredForm(KernelForm):
    """A form whose features at the centre pixel were computed before."""

    center: object = None

    def smoothed(self, guide):
        return self.center


def output(problem, tensors):
    """y, or K, of {name: tensor}."""
    return next(iter(outputs(problem, tensors).values()))


def outputs(problem, tensors):
    """{name: output}; the output mask only with a valid mask."""
    options, window, get = problem.options, problem.window, tensors.get
    form = CenteredForm(
        kind=options.kernel_type,
        alpha=get("alpha"),
        exponent=get("exponent"),
        asymmetric=options.asymmetric,
        channel_wise=options.channel_wise,
        normalize=options.normalize,
        center=get("center"),
    )
    if not problem.is_sum:
        mask = get("valid_mask")
        adapting, output_mask = TAPS.adapting_kernel(get("guide"), window, form, mask)
        results = {"adapting_kernel": adapting}
        return results if mask is None else {**results, "output_mask": output_mask}
    x, filter, bias = get("x"), get("filter"), get("bias")
    if "adapting_kernel" in tensors:
        given = x, get("adapting_kernel"), filter, window, bias
        return {"y": TAPS.windowed_sum(*given, softmax=options.softmax)}
    return {"y": TAPS.guided_windowed_sum(x, get("guide"), filter, window, form, bias)[0]}
