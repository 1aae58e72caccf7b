"""The functions of keras_pac.h in NumPy, written from its formulae.

Arrays are float64, or complex128: every function but the gradients is analytic, so that an
imaginary step through it gives its gradient too, exact to rounding. `inputs` are by the names of
`kpac_inputs`; one that is None or missing is not there.
"""

import functools

import numpy as np

INVERSE_EPSILON = 1e-4


class Windows:
    """Which pixel of an image of `size` every output pixel meets with every tap.

    Outside of the image that is a row or a column of zeros behind its last one.
    """

    def __init__(self, s, size, padding, input_dilation=(1, 1)):
        self.kernel_size, self.indices = s.kernel_size, []
        for axis in range(2):
            output, tap = np.arange(s.output_size[axis]), np.arange(s.kernel_size[axis])
            position = output[:, None] * s.strides[axis] + tap * s.dilation[axis] - padding[axis]
            index, between = np.divmod(position, input_dilation[axis])
            met = (between == 0) & (index >= 0) & (index < size[axis])
            self.indices.append(np.where(met, index, size[axis]))
        self.inside = self.gather(np.ones((1, *size, 1)))

    def _taps(self):
        """(tap, rows (OH, 1), columns (OW,)): where the output pixels meet that tap."""
        rows, columns = self.indices
        for tap, (y, x) in enumerate(np.ndindex(*self.kernel_size)):
            yield tap, rows[:, y, None], columns[:, x]

    def gather(self, image):
        """(N, H, W, C) -> (N, OH, OW, T, C)"""
        image = np.pad(image, ((0, 0), (0, 1), (0, 1), (0, 0)))
        return np.stack([image[:, rows, columns] for _, rows, columns in self._taps()], axis=3)

    def scatter(self, values, size):
        """The transpose of `gather`: (N, OH, OW, T, C) -> (N, H, W, C), summed."""
        image = np.zeros((len(values), size[0] + 1, size[1] + 1, values.shape[-1]))
        for tap, rows, columns in self._taps():
            # With one tap, no two outputs meet the same pixel of the image: += loses nothing.
            image[:, rows, columns] += values[:, :, :, tap]
        return image[:, :-1, :-1]


@functools.lru_cache
def _input_windows(s):
    return Windows(s, s.input_size, s.padding, s.input_dilation)


@functools.lru_cache
def _guide_windows(s):
    return Windows(s, s.guide_size, s.guide_padding)


def _kernel_parts(s, inputs):
    """What K = scale * k is made of, by name; (N, OH, OW, T, V) and d (N, OH, OW, T, G)."""
    windows, guide, center = _guide_windows(s), inputs["guide"], inputs.get("center")
    neighbours = windows.gather(guide)
    centers = neighbours if center is None else windows.gather(center)
    d = neighbours - centers[:, :, :, s.taps // 2, None]
    if s.asymmetric:
        d = np.where(d.real > 0, d, 0)
    distance = d * d if s.channel_wise else np.sum(d * d, axis=-1, keepdims=True)
    if s.kernel_type == "gaussian":
        k = np.exp(-distance / 2)
    else:
        k = inputs["alpha"] + (distance + INVERSE_EPSILON) ** (inputs["exponent"] / 2)
    windows, mask = _input_windows(s), inputs.get("valid_mask")
    m = windows.inside if mask is None else windows.gather(mask[..., None])
    if s.normalize:
        divisor = np.sum(m * k, axis=3, keepdims=True)
    elif mask is not None:
        in_image = np.sum(windows.inside, axis=3, keepdims=True)
        divisor = np.sum(m, axis=3, keepdims=True) / np.maximum(in_image, 1)
    else:
        m, divisor = np.ones_like(k), np.ones_like(k)
    scale = np.where(divisor == 0, 0, m / np.where(divisor == 0, 1, divisor))
    return {"d": d, "distance": distance, "k": k, "scale": scale, "divisor": divisor}


def adapting_kernel(s, inputs):
    """K, and output_mask or None."""
    parts = _kernel_parts(s, inputs)
    output_mask = None
    if inputs.get("valid_mask") is not None:
        output_mask = np.any(parts["divisor"] != 0, axis=(3, 4)).astype("float64")
    return parts["scale"] * parts["k"], output_mask


def adapting_kernel_gradient(s, inputs):
    """{name: gradient} by guide, center, alpha and exponent."""
    parts, upstream = _kernel_parts(s, inputs), inputs["upstream"]
    d, k, scale = parts["d"], parts["k"], parts["scale"]
    if s.normalize:
        upstream = upstream - np.sum(upstream * scale * k, axis=3, keepdims=True)
    dk = scale * upstream
    gradients = {}
    if s.kernel_type == "gaussian":
        ds = -k * dk / 2
    else:
        base, exponent = parts["distance"] + INVERSE_EPSILON, inputs["exponent"]
        ds = exponent / 2 * base ** (exponent / 2 - 1) * dk
        gradients["alpha"] = np.sum(dk, axis=(0, 1, 2, 3))
        dexponent = dk * np.log(base) / 2 * base ** (exponent / 2)
        gradients["exponent"] = np.sum(dexponent, axis=(0, 1, 2, 3))
    neighbours = 2 * d * ds
    centers = np.zeros_like(neighbours)
    centers[:, :, :, s.taps // 2] = -np.sum(neighbours, axis=3)
    windows = _guide_windows(s)
    if inputs.get("center") is None:
        gradients["guide"] = windows.scatter(neighbours + centers, s.guide_size)
    else:
        gradients["guide"] = windows.scatter(neighbours, s.guide_size)
        gradients["center"] = windows.scatter(centers, s.guide_size)
    return gradients


def _adapting(s, inputs):
    """K as it was given, or of the guide."""
    given = inputs.get("adapting_kernel")
    return _kernel_parts(s, inputs)["k"] if given is None else given


def _tap_weights(s, inputs):
    """The filter of pooling or a shared one: (T, 1)."""
    return np.ones((s.taps, 1)) if s.filter_type == "pooling" else inputs["filter"][:, None]


def windowed_sum(s, inputs):
    """y"""
    products = _adapting(s, inputs) * _input_windows(s).gather(inputs["x"])
    if s.filter_type == "full":
        y = np.tensordot(products, inputs["filter"], 2)
    else:
        y = np.sum(products * _tap_weights(s, inputs), axis=3)
    y = y if inputs.get("bias") is None else y + inputs["bias"]
    if not s.softmax:
        return y
    y = np.exp(y - np.max(y.real, axis=-1, keepdims=True))
    return y / np.sum(y, axis=-1, keepdims=True)


def windowed_sum_gradient(s, inputs):
    """{name: gradient} by x, filter, bias, and adapting_kernel or what it is computed from.

    Of a sum without softmax.
    """
    windows, adapting, upstream = _input_windows(s), _adapting(s, inputs), inputs["upstream"]
    x = windows.gather(inputs["x"])
    gradients = {}
    if s.filter_type == "full":
        back = np.tensordot(upstream, inputs["filter"], (-1, -1))
        gradients["filter"] = np.tensordot(adapting * x, upstream, ((0, 1, 2), (0, 1, 2)))
    else:
        back = upstream[:, :, :, None] * _tap_weights(s, inputs)
        if s.filter_type == "shared":
            dfilter = adapting * x * upstream[:, :, :, None]
            gradients["filter"] = np.sum(dfilter, axis=(0, 1, 2, 4))
    gradients["x"] = windows.scatter(adapting * back, s.input_size)
    if inputs.get("bias") is not None:
        is_image = inputs["bias"].ndim > 1
        gradients["bias"] = upstream if is_image else np.sum(upstream, axis=(0, 1, 2))
    dk = x * back if s.channel_wise else np.sum(x * back, axis=-1, keepdims=True)
    if inputs.get("adapting_kernel") is not None:
        gradients["adapting_kernel"] = dk
    else:
        gradients.update(adapting_kernel_gradient(s, {**inputs, "upstream": dk}))
    return gradients
