"""Speed on a GPU, next to PyTorch's convolution of the same shape.

The shapes are those of the benchmark suite. K is computed from the guide inside the measured call;
the numbers are medians of runs in turn, without TensorFloat-32.
"""

import statistics

import torch

from benchmarks.suite import SUITE
from custom_ops.harness.core import Core
from custom_ops.harness.sizes import Sizes

REPEATS, WARM_UP = 30, 5


def sizes_of(case, type_name):
    """The `Sizes` of a case of the suite: padding 'same', strides in transposed cases only."""
    centre = (case.kernel_size // 2 * case.dilation_rate,) * 2
    return Sizes(
        batch=case.batch,
        input_size=case.input_shape[1:3],
        guide_size=case.output_shape[1:3],
        output_size=case.output_shape[1:3],
        input_channels=case.channels,
        guide_channels=case.guide_channels,
        output_channels=case.filters,
        kernel_size=(case.kernel_size,) * 2,
        strides=(1, 1),
        input_dilation=(case.strides,) * 2,
        dilation=(case.dilation_rate,) * 2,
        padding=centre,
        guide_padding=centre,
        type=type_name,
        kernel_type="gaussian",
        filter_type="full",
    )


def _median(calls):
    """Milliseconds of each of several functions, called in turn."""
    times = [[] for _ in calls]
    for repeat in range(WARM_UP + REPEATS):
        for call, record in zip(calls, times):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            call()
            end.record()
            torch.cuda.synchronize()
            if repeat >= WARM_UP:
                record.append(begin.elapsed_time(end))
    return [statistics.median(record) for record in times]


def _core_calls(core, case, type_name):
    """(forward, forward and all gradients) of the core."""
    s = sizes_of(case, type_name)

    def random(*shape):
        return torch.randn(shape, device="cuda", dtype=getattr(torch, type_name))

    inputs = {
        "x": random(*case.input_shape),
        "guide": 0.1 * random(*case.guide_shape),
        "filter": random(s.taps, case.channels, case.filters),
        "bias": random(case.filters),
    }
    gradients = {name: torch.empty_like(array) for name, array in inputs.items()}
    y, upstream = random(*case.output_shape), random(*case.output_shape)

    def forward():
        core.run("windowed_sum", s, inputs, {"y": y})

    def both():
        forward()
        core.run("windowed_sum_gradient", s, {**inputs, "upstream": upstream}, gradients)

    return forward, both


def _torch_calls(case, type_name):
    """The same of a plain convolution, channels last."""

    def random(*shape):
        tensor = torch.randn(shape, device="cuda", dtype=getattr(torch, type_name))
        return tensor.to(memory_format=torch.channels_last) if len(shape) == 4 else tensor

    def channels_first(batch, height, width, channels):
        return batch, channels, height, width

    k, d, s = case.kernel_size, case.dilation_rate, case.strides
    options = {"padding": k // 2 * d, "dilation": d, "stride": s}
    ends, function = (case.filters, case.channels), torch.nn.functional.conv2d
    if case.transposed:
        ends, function = ends[::-1], torch.nn.functional.conv_transpose2d
        options["output_padding"] = s - 1
    x = random(*channels_first(*case.input_shape))
    sources = [x, random(*ends, k, k), random(case.filters)]
    for tensor in sources:
        tensor.requires_grad_()
    upstream = random(*channels_first(*case.output_shape))

    def forward():
        with torch.no_grad():
            function(*sources, **options)

    def both():
        torch.autograd.grad(function(*sources, **options), sources, upstream)

    return forward, both


def print_speeds(library):
    """Print the times of every case and type, and of PyTorch's convolution."""
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    print(
        f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, CUDA {torch.version.cuda},"
        f" cuDNN {torch.backends.cudnn.version()}"
    )
    core = Core(library, "cuda", stream=torch.cuda.current_stream().cuda_stream)
    for type_name in ("float32", "float16", "bfloat16"):
        for case in SUITE:
            forward, both = _core_calls(core, case, type_name)
            plain_forward, plain_both = _torch_calls(case, type_name)
            times = _median([forward, plain_forward, both, plain_both])
            print(
                f"{type_name:9} {case.name:13} forward {times[0]:8.3f} ms, cuDNN {times[1]:8.3f}"
                f" ({times[0] / times[1]:5.2f} x); with gradients {times[2]:8.3f} ms, cuDNN"
                f" {times[3]:8.3f} ({times[2] / times[3]:5.2f} x)"
            )
