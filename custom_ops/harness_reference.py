"""The functions of keras_pac.h in float64 NumPy, written from its formulae, one tap at a time."""

import numpy as np


class Meeting:
    """What every output pixel meets with tap t, in an image of `size`: rows and columns (OH,) and
    (OW,) of it, and where there is something at all."""

    def __init__(self, s, t, size, padding, input_dilation=(1, 1)):
        taps = divmod(t, s.kernel_size[1])
        met, inside = [], []
        for a in range(2):
            position = np.arange(s.output_size[a]) * s.strides[a]
            position = position + taps[a] * s.dilation[a] - padding[a]
            index = position // input_dilation[a]
            inside.append((position % input_dilation[a] == 0) & (index >= 0) & (index < size[a]))
            met.append(np.where(inside[a], index, 0))
        self.rows, self.columns = met[0][inside[0]], met[1][inside[1]]
        self.outputs = np.ix_(inside[0], inside[1])
        self.inside = inside[0][:, None] & inside[1][None, :]
        self.s = s

    def gather(self, image):
        """(N, H, W, ...) -> (N, OH, OW, ...), 0 where nothing is met."""
        out = np.zeros((image.shape[0], *self.s.output_size, *image.shape[3:]))
        out[(slice(None), *self.outputs)] = image[:, self.rows][:, :, self.columns]
        return out

    def scatter(self, values, image):
        """Add (N, OH, OW, ...) to what is met in `image`."""
        index = (slice(None), self.rows[:, None], self.columns[None, :])
        np.add.at(image, index, values[(slice(None), *self.outputs)])


def _taps(s):
    return s.kernel_size[0] * s.kernel_size[1]


def _input(s, t):
    return Meeting(s, t, s.input_size, s.padding, s.input_dilation)


def _guide(s, t):
    return Meeting(s, t, s.guide_size, s.guide_padding)


def _center(s):
    return _guide(s, s.kernel_size[0] // 2 * s.kernel_size[1] + s.kernel_size[1] // 2)


def adapting_forward(s, inputs):
    """Everything that K is made of, by name; shapes (N, OH, OW, T, V)."""
    guide = inputs["guide"]
    center = inputs["guide"] if inputs["center"] is None else inputs["center"]
    d = np.stack([_guide(s, t).gather(guide) for t in range(_taps(s))], axis=3)
    d = d - _center(s).gather(center)[:, :, :, None]
    if s.asymmetric:
        d = np.maximum(d, 0)
    distance = d * d if s.channel_wise else np.sum(d * d, axis=-1, keepdims=True)
    if s.kind == 0:
        k = np.exp(-distance / 2)
    else:
        k = inputs["alpha"] + (distance + 1e-4) ** (inputs["exponent"] / 2)
    in_image = np.stack([_input(s, t).inside for t in range(_taps(s))], axis=-1)[None, ..., None]
    m = in_image.astype(float)
    if inputs["valid_mask"] is not None:
        mask = inputs["valid_mask"]
        m = np.stack([_input(s, t).gather(mask) for t in range(_taps(s))], axis=3)[..., None]
    divisor = None
    if s.normalize:
        divisor = np.sum(m * k, axis=3, keepdims=True)
    elif inputs["valid_mask"] is not None:
        count = np.sum(in_image, axis=3, keepdims=True)
        divisor = np.sum(m, axis=3, keepdims=True) / np.maximum(count, 1)
    if divisor is None:
        return dict(d=d, distance=distance, k=k, K=k, scale=np.ones_like(k), divisor=None)
    scale = np.where(divisor == 0, 0, m / np.where(divisor == 0, 1, divisor))
    return dict(d=d, distance=distance, k=k, K=scale * k, scale=scale, divisor=divisor)


def adapting_kernel(s, inputs):
    """K and output_mask (None without a valid_mask)."""
    f = adapting_forward(s, inputs)
    mask = None
    if inputs["valid_mask"] is not None:
        mask = np.any(f["divisor"] != 0, axis=(3, 4)).astype(float)
    return f["K"], mask


def adapting_kernel_gradient(s, inputs, upstream):
    """{name: gradient} of guide, center, alpha and exponent."""
    f = adapting_forward(s, inputs)
    if s.normalize:
        upstream = upstream - np.sum(upstream * f["K"], axis=3, keepdims=True)
    dk = f["scale"] * upstream
    gradients = {}
    if s.kind == 0:
        ds = -f["k"] * dk / 2
    else:
        r, exponent = f["distance"] + 1e-4, inputs["exponent"]
        ds = exponent / 2 * r ** (exponent / 2 - 1) * dk
        gradients["alpha"] = np.sum(dk, axis=(0, 1, 2, 3))
        gradients["exponent"] = np.sum(dk * np.log(r) / 2 * r ** (exponent / 2), axis=(0, 1, 2, 3))
    dd = 2 * f["d"] * ds
    guide = np.zeros(inputs["guide"].shape)
    center = guide if inputs["center"] is None else np.zeros(guide.shape)
    for t in range(_taps(s)):
        _guide(s, t).scatter(dd[:, :, :, t], guide)
        _center(s).scatter(-dd[:, :, :, t], center)
    gradients["guide"] = guide
    if inputs["center"] is not None:
        gradients["center"] = center
    return gradients


def _kernel_of(s, inputs):
    if inputs["adapting_kernel"] is not None:
        return inputs["adapting_kernel"]
    return adapting_forward(s, inputs)["k"]


def _weights(s, inputs):
    """(T, C, O), or (T, 1)."""
    if s.filter == 2:
        return inputs["kernel"]
    return np.ones((_taps(s), 1)) if s.filter == 0 else inputs["kernel"][:, None]


def windowed_sum(s, inputs):
    """y"""
    k, w = _kernel_of(s, inputs), _weights(s, inputs)
    y = np.zeros((s.batch, *s.output_size, s.output_channels))
    for t in range(_taps(s)):
        x = _input(s, t).gather(inputs["x"])
        y += k[:, :, :, t] * (x @ w[t] if s.filter == 2 else x * w[t])
    return y if inputs["bias"] is None else y + inputs["bias"]


def windowed_sum_gradient(s, inputs, upstream):
    """{name: gradient} of x, kernel, bias, and adapting_kernel or what it is computed from."""
    k, w = _kernel_of(s, inputs), _weights(s, inputs)
    full = s.filter == 2
    dx, dw, dk = np.zeros(inputs["x"].shape), np.zeros(w.shape), np.zeros(k.shape)
    for t in range(_taps(s)):
        meeting = _input(s, t)
        x = meeting.gather(inputs["x"])
        wu = upstream @ w[t].T if full else w[t] * upstream
        meeting.scatter(k[:, :, :, t] * wu, dx)
        dk[:, :, :, t] = x * wu if s.channel_wise else np.sum(x * wu, axis=-1, keepdims=True)
        kx = k[:, :, :, t] * x
        dw[t] = np.einsum("nyxc,nyxo->co", kx, upstream) if full else np.sum(kx * upstream)
    gradients = {"x": dx}
    if s.filter != 0:
        gradients["kernel"] = dw if full else dw[:, 0]
    if inputs["bias"] is not None:
        gradients["bias"] = np.sum(upstream, axis=(0, 1, 2))
    if inputs["adapting_kernel"] is not None:
        gradients["adapting_kernel"] = dk
    else:
        gradients.update(adapting_kernel_gradient(s, inputs, dk))
    return gradients
