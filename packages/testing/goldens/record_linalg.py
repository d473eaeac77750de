"""Records what JAX computes on CPU for `@traceform/numpy/linalg` and `@traceform/lax/linalg`, into linalg.json, and the
gradients and batching into linalg_transforms.json.

Run: JAX_PLATFORMS=cpu python record_linalg.py      (JAX 0.10; 64-bit types off, as is JAX's default)

"""

import jax.numpy as jnp
import numpy as np

from recording import R, Arrays, c64, case, f32, i32, inf, nan, write

m23, m34, t234 = R(2, 3), R(3, 4), R(2, 3, 4)
# Vectors whose sign or phase is free are compared in functions of them that do not depend on it: see linalgcompositions.ts.
P = lambda *s: (lambda x: (np.matmul(x, x.swapaxes(-1, -2)) + 2 * np.eye(s[-1])).astype(np.float32))(R(*s)); Cx = lambda *s: (R(*s) + 1j * R(*s)).astype(np.complex64)
CP = lambda n: (lambda x: (x @ x.conj().T + 2 * np.eye(n)).astype(np.complex64))(Cx(n, n))
s3, s4, g3, g4, gs, singular = P(3, 3), P(4, 4), R(3, 3), R(4, 4), R(2, 3, 3), f32([[1, 2, 3], [2, 4, 6], [1, 0, 1]])
for x in (s3, P(2, 3, 3), f32([[4]]), i32([[4, 2], [2, 5]]), CP(3), f32([[1, 2], [2, 1]]), R(2, 0, 0)):
    case("linalg.cholesky", x, tol=2e-5); case("linalg.cholesky", x, at=1, upper=True, tol=2e-5)
case("linalg.cholesky", g3 + 4 * np.eye(3, dtype=np.float32), at=1, symmetrize_input=False, tol=2e-5); case("linalg.cholesky", m23, error=True)
for x in (f32([[3]]), R(2, 2), g3, g4, gs, R(5, 5), f32([[1, 2], [2, 4]]), singular, Cx(3, 3), Cx(4, 4), i32([[1, 2], [3, 4]]), f32([[0, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]])):
    case("linalg.det", x, tol=3e-5)
    if x is not singular and x.shape != (2, 2) or x.dtype == np.int32: case("linalg.slogdet", x, tol=3e-5)
case("linalg.det", m23, error=True); case("linalg.slogdet", m23, error=True); case("linalg.det", R(2, 0, 0)); case("linalg.slogdet", R(0, 0))
for a, y in ((g3, R(3)), (g3, R(3, 2)), (gs, R(3)), (gs, R(3, 2)), (gs, R(2, 3, 1)), (g3, R(2, 3, 2)), (Cx(3, 3), Cx(3)), (i32([[1, 2], [3, 4]]), i32(5, 6)), (R(1, 1), R(1))):
    case("linalg.solve", a, y, tol=5e-5)
case("linalg.solve", m23, R(2), error=True); case("linalg.solve", g3, R(4), error=True)
for x in (g3, gs, Cx(3, 3), i32([[1, 2], [3, 5]]), R(5, 5)):
    case("linalg.inv", x, tol=5e-5)
case("linalg.inv", m23, error=True)
for x in (g3, m23, R(4, 2), R(2, 3, 2), Cx(3, 2), f32([[1, 2], [2, 4]])):
    case("linalg.pinv", x, tol=1e-4)
case("linalg.pinv", s3, at=1, hermitian=True, tol=1e-4); case("linalg.pinv", g4, at=1, rtol=0.3, tol=1e-4)
for x in (g3, R(4, 2), R(2, 4), gs, Cx(3, 3)):
    for mode in "reduced complete r".split():
        case("linalg.qr", x, mode, tol=3e-5)
    case("linalg.qr", x, tol=3e-5)
case("linalg.qr", R(4, 2), "raw", tol=3e-5); case("linalg.qr", g3, "none", error=True); case("linalg.qr", R(3), error=True)
for x in (g3, R(4, 2), R(2, 4), gs, Cx(3, 2), f32([[2]])):
    case("linalg.svdvals", x, tol=2e-5); case("own.polar", x[..., :, :x.shape[-2]] if x.shape[-2] < x.shape[-1] else x, tol=1e-4, py=lambda x: (lambda u, s, v: u @ v)(*jnp.linalg.svd(x, full_matrices=False)))
case("linalg.svd", R(2, 4), at=1, compute_uv=False, tol=2e-5); case("linalg.svd", s3 - 4 * np.eye(3, dtype=np.float32), at=1, compute_uv=False, hermitian=True, tol=2e-5)
for x in (s3, P(2, 3, 3), CP(3), s4 - 5 * np.eye(4, dtype=np.float32), i32([[2, 1], [1, 3]])):
    case("linalg.eigvalsh", x, tol=2e-5); case("own.spectral", x, tol=1e-4, py=lambda x: (lambda w, v: (v * jnp.cos(w)[..., None, :]) @ jnp.conj(jnp.swapaxes(v, -1, -2)))(*jnp.linalg.eigh(x)))
case("linalg.eigvalsh", g3, at=1, UPLO="U", symmetrize_input=False, tol=2e-5, py=lambda x, UPLO, symmetrize_input: jnp.linalg.eigvalsh(x, UPLO, symmetrize_input=symmetrize_input)); case("linalg.eigvalsh", g3, at=1, UPLO="L", symmetrize_input=False, tol=2e-5, py=lambda x, UPLO, symmetrize_input: jnp.linalg.eigvalsh(x, UPLO, symmetrize_input=symmetrize_input)); case("linalg.eigh", m23, error=True)
for x, y in ((R(4, 2), R(4)), (R(4, 2), R(4, 3)), (R(5, 3), R(5, 2)), (i32([[1, 2], [2, 4], [3, 6]]), R(3))):
    case("linalg.lstsq", x, y, tol=1e-4)
case("linalg.lstsq", R(4, 3), R(4), 0.5, tol=1e-4); case("linalg.lstsq", R(4, 3), R(3), error=True)
for x in (g3, gs, R(3, 2), f32([[1, 2], [2, 4]]), f32([[0, 0], [0, 0]])):
    case("linalg.matrixRank", x); case("linalg.cond", x, tol=1e-4) if x.any() and x.shape != (2, 2) else None
case("linalg.matrixRank", f32(0, 0)); case("linalg.matrixRank", f32(0, 1)); case("linalg.cond", f32([[1, 2], [2, nan]]))
for p in (1, -1, 2, -2, inf, -inf, "fro"):
    case("linalg.cond", g3, p, tol=1e-4)
case("linalg.cond", m23, 1, error=True)
for x in (f32(3, -4, 0.5), m23, gs, c64(3 + 4j, 1j), i32(3, -4)):
    case("linalg.norm", x); case("linalg.norm", x, at=2, axis=-1); case("linalg.norm", x, at=2, keepdims=True)
for p in (0, 1, 2, 3, -1, -2.5, inf, -inf):
    case("linalg.norm", f32(3, -4, 0.5), p, tol=1e-5); case("linalg.norm", m34, p, at=2, axis=1, keepdims=True, tol=1e-5); case("linalg.vectorNorm", gs, at=1, axis=[0, 2], ord=p, tol=1e-5); case("linalg.vectorNorm", m23, at=1, ord=p, tol=1e-5)
for p in (1, -1, 2, -2, inf, -inf, "fro", "nuc"):
    case("linalg.norm", m34, p, tol=2e-5); case("linalg.norm", gs, p, at=2, axis=[2, 0], tol=2e-5); case("linalg.norm", t234, p, at=2, axis=[0, -1], keepdims=True, tol=2e-5); case("linalg.matrixNorm", gs, at=1, ord=p, tol=2e-5)
case("linalg.matrixNorm", gs, at=1, keepdims=True); case("linalg.norm", m23, 3, error=True); case("linalg.norm", f32(1, 2), "fro", error=True); case("linalg.norm", t234, 2, error=True); case("linalg.vectorNorm", Cx(3))
for n in (0, 1, 2, 3, 5, -1, -2):
    case("linalg.matrixPower", g3, n, tol=1e-4); case("linalg.matrixPower", gs, n, tol=1e-4)
case("linalg.matrixPower", i32([[1, 2], [3, 4]]), 3); case("linalg.matrixPower", m23, 2, error=True)
case("linalg.multiDot", Arrays([m23, m34]), tol=1e-5); case("linalg.multiDot", Arrays([R(2, 5), R(5, 3), R(3, 4), R(4, 2)]), tol=1e-5); case("linalg.multiDot", Arrays([R(5), R(5, 3), R(3)]), tol=1e-5); case("linalg.multiDot", Arrays([m23, m23]), error=True)
case("linalg.matmul", m23, m34); case("linalg.vecdot", m23, m23); case("linalg.vecdot", t234, R(2, 3, 4), at=2, axis=1); case("linalg.outer", R(2), R(3)); case("linalg.outer", m23, R(3), error=True); case("linalg.cross", R(3), R(3)); case("linalg.cross", R(3, 2), R(3, 2), at=2, axis=0); case("linalg.cross", R(2), R(2), error=True)
case("linalg.tensordot", t234, R(3, 4, 2)); case("linalg.tensordot", t234, R(4, 2), at=2, axes=1); case("linalg.tensordot", t234, R(2, 4), at=2, axes=[[0, 2], [0, 1]], py=lambda a, c, axes: jnp.linalg.tensordot(a, c, axes=((0, 2), (0, 1))))
case("linalg.diagonal", t234); case("linalg.diagonal", m34, at=1, offset=1); case("linalg.diagonal", m34, at=1, offset=-1); case("linalg.trace", gs); case("linalg.trace", m34, at=1, offset=1); case("linalg.trace", i32([[1, 2], [3, 4]]), at=1, dtype="float32", py=lambda x, dtype: jnp.linalg.trace(x, dtype=dtype)); case("linalg.matrixTranspose", t234)
case("linalg.tensorinv", R(2, 3, 6), 2, tol=1e-4); case("linalg.tensorinv", R(4, 2, 2), 1, tol=1e-4); case("linalg.tensorinv", R(2, 3, 4), error=True); case("linalg.tensorsolve", R(2, 3, 6), R(2, 3), tol=1e-4); case("linalg.tensorsolve", R(2, 6, 3), R(2, 3), [1], tol=1e-4)
for x in (g3, R(4, 4), gs, Cx(3, 3), f32([[0, 1], [-1, 0]])):
    case("own.powerSums", x, tol=1e-4, py=lambda x: (lambda w: jnp.stack([jnp.sum(w, -1), jnp.sum(w * w, -1), jnp.sum(jnp.exp(w), -1)]))(jnp.linalg.eigvals(x)))
    case("own.diagonalised", i32([[2, 1], [1, 3]]) if x is gs else Cx(3, 3), tol=1e-4, py=lambda x: x.astype(np.complex64))
for shape, k in (((4,), 2), ((2, 5), 1)):
    case("laxlinalg.tridiagonalSolve", R(*shape), R(*shape), R(*shape), R(*shape, k), tol=1e-4)
case("laxlinalg.tridiagonalSolve", R(3), R(3), R(3), R(4, 1), error=True)
for left in (True, False):
    for lower in (True, False):
        for t in (True, False):
            for x in (g3, gs, Cx(3, 3)):
                case("laxlinalg.triangularSolve", x + 2 * np.eye(3, dtype=x.dtype), (Cx if x.dtype == np.complex64 else R)(*x.shape[:-2], *((3, 2) if left else (2, 3))), at=2, left_side=left, lower=lower, transpose_a=t, conjugate_a=t and x.ndim == 2, unit_diagonal=x is gs, tol=3e-5)
case("laxlinalg.triangularSolve", gs, R(2, 3), at=2, left_side=True, lower=True, tol=1e-4); case("laxlinalg.triangularSolve", m23, m23, error=True)
for x in (g3, R(4, 2), R(2, 4), gs, Cx(3, 3), f32([[0, 0], [0, 1]])):
    case("laxlinalg.lu", x, tol=3e-5); case("laxlinalg.qr", x, at=1, full_matrices=False, tol=3e-5) if x.any() and x.shape != (2, 2) else None
case("laxlinalg.luPivotsToPermutation", i32(2, 2, 3), 5); case("laxlinalg.luPivotsToPermutation", i32([[1, 1], [0, 2]]), 3); case("laxlinalg.householderProduct", R(4, 3), R(2), tol=3e-5); case("laxlinalg.cholesky", s3, tol=2e-5)

write("linalg.json", "linalg_transforms.json")
