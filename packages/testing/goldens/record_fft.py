"""Records what JAX computes on CPU for `@traceform/numpy/fft` and `fft` of `@traceform/lax`, into fft.json, and the gradients and
batching into fft_transforms.json.

Run: JAX_PLATFORMS=cpu python record_fft.py      (JAX 0.10; 64-bit types off, as is JAX's default)
"""

import jax.numpy as jnp
import numpy as np

from recording import R, c64, case, f32, i32, write

line = f32(0.5, -1, 2, 0.25, 3, -0.75, 1.5); cline = c64(1 + 2j, -0.5j, 3 - 1j, 0.25 + 0j, 2j); spectrum = c64(3 + 0j, 1 - 2j, 0.5 + 1j, -2 + 0.5j)
C = lambda *s: (R(*s) + 1j * R(*s)).astype(np.complex64)
for n in "fft ifft rfft irfft hfft ihfft".split():
    real = n in ("rfft", "ihfft"); x = line if real else spectrum if n in ("irfft", "hfft") else cline; y = R(3, 4) if real else C(3, 4)
    n = "fft." + n
    case(n, x); case(n, x, 4); case(n, x, 9); case(n, y); case(n, y, at=2, axis=0); case(n, y, 5, at=2, axis=-2); case(n, x, at=2, norm="ortho"); case(n, x, 6, at=2, norm="forward"); case(n, x, at=2, norm="backward")
    case(n, line); case(n, R(2, 3, 2), at=2, axis=1); case(n, i32(1, 2, 3, 4)); case(n, x, 0, error=True); case(n, x, at=2, norm="none", error=True); case(n, x, at=2, axis=3, error=True)
for n in "fft2 ifft2 rfft2 irfft2 fftn ifftn rfftn irfftn".split():
    real = n.startswith("rfft"); y = R(3, 4) if real else C(3, 4); z = R(2, 3, 4) if real else C(2, 3, 4)
    n = "fft." + n
    case(n, y); case(n, z); case(n, y, [2, 6]); case(n, z, [4, 3], at=2, axes=[0, 1]); case(n, z, at=2, axes=[-1, 0]); case(n, y, at=2, norm="ortho"); case(n, z, at=2, axes=[1, 2], norm="forward"); case(n, R(3, 3)); case(n, y, [2], at=2, axes=[0, 1], error=True); case(n, y, at=2, axes=[0, 0], error=True)
case("fft.fftn", C(2, 3, 2, 2)); case("fft.rfftn", R(2, 3, 2, 4)); case("fft.irfftn", C(2, 3, 2, 3)); case("fft.fftn", line, [4]); case("fft.fftn", C(2, 3), [4]); case("fft.fft", C(2, 24)); case("fft.rfft", R(1, 38)); case("fft.irfft", C(1, 20))
for n in 1, 4, 5:
    case("fft.fftfreq", n); case("fft.rfftfreq", n); case("fft.fftfreq", n, 0.25); case("fft.rfftfreq", n, 2.0)
case("fft.fftfreq", 6, 0.5, dtype="float16", py=lambda n, d, dtype: jnp.fft.fftfreq(n, d, dtype=dtype))
for n in "fft.fftshift", "fft.ifftshift":
    case(n, f32(0, 1, 2, 3, 4)); case(n, R(3, 4)); case(n, R(3, 4), 0); case(n, R(2, 3, 4), [0, -1]); case(n, i32(1, 2, 3)); case(n, C(4))
for t, x in ("FFT", C(2, 6)), ("IFFT", C(2, 6)), ("RFFT", R(2, 6)), ("IRFFT", C(2, 4)):
    case("lax.fft", x, t, [6]); case("lax.fft", x, t, [2, 6]); case("lax.fft", x, t, [9], error=True); case("lax.fft", x, t, []) if t != "RFFT" else None
case("lax.fft", R(2, 4), "FFT", [4]); case("lax.fft", i32(1, 2, 3), "RFFT", [3]); case("lax.fft", C(4), "RFFT", [4], error=True); case("lax.fft", C(4), "DFT", [4], error=True); case("lax.fft", C(4), "FFT", [2, 4], error=True)

write("fft.json", "fft_transforms.json")
