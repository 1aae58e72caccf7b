"""Speed on a GPU against torch.nn.functional.conv2d of the same shape: the shapes of the benchmark
suite, K computed from the guide inside the measured call, medians in turn, TensorFloat-32 off."""

import statistics

import harness
import torch

REPEATS, WARM_UP = 30, 5


def _same(size, k, dilation=1):
    return dict(padding=(dilation * (k // 2),) * 2, dilation=(dilation,) * 2)


def _convolution(n, height, width, c, o, g, k, dilation=1, **options):
    return harness.convolution(
        n,
        (height, width),
        c,
        o,
        (k, k),
        guide_channels=g,
        **_same((height, width), k, dilation),
        **options,
    )


def _transposed(n, height, width, c, o, g, k, **options):
    return harness.transposed(
        n,
        (height, width),
        c,
        o,
        (k, k),
        guide_channels=g,
        strides=(2, 2),
        padding=(k // 2, k // 2),
        output_padding=(1, 1),
        **options,
    )


SUITE = {
    "upsample 128": lambda **o: _convolution(1, 128, 128, 32, 32, 16, 5, **o),
    "upsample 256": lambda **o: _convolution(1, 256, 256, 32, 32, 16, 5, **o),
    "thin": lambda **o: _convolution(1, 480, 640, 16, 16, 16, 5, **o),
    "classic": lambda **o: _convolution(4, 64, 64, 64, 64, 32, 3, **o),
    "hot-swap": lambda **o: _convolution(4, 56, 56, 256, 256, 64, 3, **o),
    "crf": lambda **o: _convolution(1, 375, 500, 21, 21, 3, 5, 16, **o),
    "transposed": lambda **o: _transposed(1, 120, 160, 32, 32, 16, 5, **o),
}


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


def _ours(core, s, dtype):
    """(forward, forward and all gradients) of the core."""

    def random(*shape):
        return torch.randn(shape, device="cuda", dtype=dtype)

    taps = s.kernel_size[0] * s.kernel_size[1]
    inputs = {
        "x": random(s.batch, *s.input_size, s.input_channels),
        "guide": 0.1 * random(s.batch, *s.guide_size, s.guide_channels),
        "kernel": random(taps, s.input_channels, s.output_channels),
        "bias": random(s.output_channels),
    }
    y, upstream = (random(s.batch, *s.output_size, s.output_channels) for _ in range(2))
    gradients = {name: torch.empty_like(array) for name, array in inputs.items()}

    def forward():
        return core.windowed_sum(s, inputs, y)

    def both():
        forward()
        core.windowed_sum_gradient(s, inputs, upstream, gradients)

    return forward, both


def _cudnn(s, dtype):
    """The same of a plain convolution, channels last."""
    last = dict(memory_format=torch.channels_last)

    def random(*shape):
        return torch.randn(shape, device="cuda", dtype=dtype)

    x = random(s.batch, s.input_channels, *s.input_size).to(**last).requires_grad_()
    bias = random(s.output_channels).requires_grad_()
    if s.input_dilation[0] > 1:
        kernel = random(s.input_channels, s.output_channels, *s.kernel_size)
        padding = [(k - 1) * d - p for k, d, p in zip(s.kernel_size, s.dilation, s.padding)]
        options = dict(stride=tuple(s.input_dilation), padding=padding, output_padding=1)
        function = torch.nn.functional.conv_transpose2d
    else:
        kernel = random(s.output_channels, s.input_channels, *s.kernel_size)
        options = dict(padding=tuple(s.padding), dilation=tuple(s.dilation))
        function = torch.nn.functional.conv2d
    kernel = kernel.to(**last).requires_grad_()
    upstream = random(s.batch, s.output_channels, *s.output_size).to(**last)

    def forward():
        with torch.no_grad():
            function(x, kernel, bias, **options)

    def both():
        y = function(x, kernel, bias, **options)
        torch.autograd.grad(y, (x, kernel, bias), upstream)

    return forward, both


def print_speeds(library):
    torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.benchmark = True
    print(
        f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}, CUDA {torch.version.cuda},"
        f" cuDNN {torch.backends.cudnn.version()}"
    )
    core = harness.Core(library, "cuda", stream=torch.cuda.current_stream().cuda_stream)
    for type_name in ("float32", "float16", "bfloat16"):
        dtype = getattr(torch, type_name)
        for name, of in SUITE.items():
            s = of(type=type_name)
            ours, theirs = _ours(core, s, dtype), _cudnn(s, dtype)
            forward, plain_forward, both, plain_both = _median(
                [ours[0], theirs[0], ours[1], theirs[1]]
            )
            print(
                f"{type_name:9} {name:13} forward {forward:8.3f} ms, cuDNN {plain_forward:8.3f}"
                f" ({forward / plain_forward:5.2f} x); with gradients {both:8.3f} ms, cuDNN"
                f" {plain_both:8.3f} ({both / plain_both:5.2f} x)"
            )
