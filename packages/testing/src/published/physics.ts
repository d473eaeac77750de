import type { NDArray } from "@traceform/core";
import { grad, hessian, jacfwd } from "@traceform/grad";
import * as lax from "@traceform/lax";
import * as np from "@traceform/numpy";
import { dotProduct, inverse, matrix, type Published, scalar, section, spread, toRows, vector } from "./case.ts";

const { add, multiply: mul, subtract: sub, divide: div, square } = np;
const at = (x: NDArray, i: number): NDArray => np.take(x, i);
const constant = (values: readonly number[], shape: readonly number[]): NDArray =>
  np.reshape(np.array([...values], { dtype: "float64" }), [...shape]);

/** The distribution function and the density of the normal distribution; the former by Taylor's series of its integral. */
const density = (x: number): number => Math.exp(-0.5 * x * x) / Math.sqrt(2 * Math.PI);
function distribution(x: number): number {
  let term = x;
  let sum = x;
  for (let k = 1; k < 200; k++) sum += term *= (x * x) / (2 * k + 1);
  return 0.5 + density(x) * sum;
}
const normal = (x: NDArray): NDArray => mul(0.5, add(1, lax.erf(div(x, Math.SQRT2))));

/** Eccentric anomaly by Newton's method in plain arithmetic. */
function kepler(m: number, e: number): number {
  let x = m;
  for (let i = 0; i < 50; i++) x -= (x - e * Math.sin(x) - m) / (1 - e * Math.cos(x));
  return x;
}

/** Runge and Kutta's method of fourth order, `steps` times. */
function rungeKutta(f: (x: NDArray) => NDArray, x: NDArray, h: number, steps: number): NDArray {
  const step = (y: NDArray, _: null): readonly [NDArray, null] => {
    const k1 = f(y);
    const k2 = f(add(y, mul(h / 2, k1)));
    const k3 = f(add(y, mul(h / 2, k2)));
    const k4 = f(add(y, mul(h, k3)));
    return [add(y, mul(h / 6, add(add(k1, k4), mul(2, add(k2, k3))))), null];
  };
  return lax.scan(step, x, null, { length: steps })[0] as NDArray;
}

/** Rotation of a point by an axis times an angle. */
function rotate(r: NDArray, x: NDArray): NDArray {
  const angle = np.sqrt(np.sum(square(r)));
  const axis = div(r, angle);
  const [c, s] = [np.cos(angle), np.sin(angle)];
  return add(add(mul(c, x), mul(s, np.cross(axis, x))), mul(mul(sub(1, c), np.dot(axis, x)), axis));
}

/** Solves `y = tanh(W y + b)` in plain arithmetic. */
function fixedPoint(w: number[][], b: readonly number[]): number[] {
  let y = b.map(() => 0);
  for (let i = 0; i < 500; i++) y = w.map((row, k) => Math.tanh(dotProduct(row, y) + b[k]));
  return y;
}

const mass = 1.3;
const stiffness = 20;
const rest = 1;
const gravity = 9.81;

/** Mechanics, geometry, finance and equations whose solutions are differentiated. */
export const physics = (): Published[] => [
  {
    name: "Kepler's equation, by customRoot",
    source:
      "Murray & Dermott (1999), Solar System Dynamics, eq. 2.52; implicitly, dE/dM = 1/(1 - e cos E), dE/de = sin E/(1 - e cos E)",
    fn: (m, e) =>
      lax.customRoot(
        (x: NDArray) => sub(sub(x, mul(e, np.sin(x))), m),
        m,
        (f, guess) =>
          lax.whileLoop(
            (x: NDArray) => np.greater(np.abs(f(x)), 1e-14),
            (x: NDArray) => sub(x, f(x)),
            guess,
          ),
        (g, y) => div(y, g(constant([1], []))),
      ),
    points: [
      [scalar(0.8), scalar(0.2)],
      [scalar(2.5), scalar(0.6)],
    ],
    jacobian: ([m], [e]) => {
      const x = kepler(m, e);
      const slope = 1 - e * Math.cos(x);
      return [[1 / slope], [Math.sin(x) / slope]];
    },
  },
  {
    name: "a fixed point, differentiated implicitly",
    source: "Bai, Kolter & Koltun (2019), Deep equilibrium models, theorem 1; Krantz & Parks (2013), The Implicit Function Theorem",
    fn: (w, b) =>
      lax.customRoot(
        (y: NDArray) => sub(np.tanh(add(np.dot(w, y), b)), y),
        b,
        (f, guess) =>
          lax.whileLoop(
            (y: NDArray) => np.greater(np.max(np.abs(f(y))), 1e-15),
            (y: NDArray) => add(y, f(y)),
            guess,
          ),
        (g, y) => np.linalg.solve(jacfwd(g)(y), y),
      ),
    points: [[matrix([0.2, -0.3], [0.4, 0.1]), vector(0.3, -0.2)]],
    // (I - D W) dy = D (dW y + db) with D = diag(1 - y²).
    jacobian: (w, b) => {
      const rows = toRows(w, 2);
      const y = fixedPoint(rows, b);
      const d = y.map((v) => 1 - v * v);
      const inv = inverse(rows.map((row, i) => row.map((v, j) => (i === j ? 1 : 0) - d[i] * v)));
      return [
        inv.flatMap((row) => row.flatMap((v, k) => y.map((u) => v * d[k] * u))),
        inv.flatMap((row) => row.map((v, k) => v * d[k])),
      ];
    },
  },
  {
    name: "a neural differential equation, by Runge–Kutta steps in a scan",
    source: "Chen, Rubanova, Bettencourt & Duvenaud (2018), Neural ordinary differential equations, eq. 2 and 3",
    fn: (w1, w2, x) => np.sum(square(rungeKutta((y) => np.dot(w2, np.tanh(np.dot(w1, y))), x, 0.1, 10))),
    points: [[spread([4, 2]), spread([2, 4], 0.7), vector(0.6, -0.4)]],
  },
  {
    name: "the harmonic oscillator, by Runge–Kutta steps in a scan",
    source: "Hairer, Nørsett & Wanner (1993), Solving Ordinary Differential Equations I: x = cos ωt, so dx/dω = -t sin ωt",
    fn: (omega) => {
      const f = (s: NDArray): NDArray => np.stack([at(s, 1), mul(np.negative(square(omega)), at(s, 0))]);
      return at(rungeKutta(f, constant([1, 0], [2]), 0.005, 400), 0);
    },
    points: [[scalar(1.3)]],
    jacobian: ([omega]) => [[-2 * Math.sin(2 * omega)]],
    // The method's own error: t ω⁵ h⁴ / 120, and so is that of its derivative, five times.
    tolerance: 1e-9,
  },
  {
    name: "reprojection residual of bundle adjustment",
    source: "Triggs, McLauchlan, Hartley & Fitzgibbon (2000), Bundle adjustment; Srajer, Kukelova & Fitzgibbon (2018), ADBench",
    // Camera: rotation, centre, focal length, principal point, radial distortion.
    fn: (camera, point) => {
      const part = (from: number, to: number): NDArray => section(camera, from, to);
      const seen = rotate(part(0, 3), sub(point, part(3, 6)));
      const flat = div(section(seen, 0, 2), at(seen, 2));
      const r2 = np.sum(square(flat));
      const distortion = add(1, add(mul(at(camera, 9), r2), mul(at(camera, 10), square(r2))));
      const projected = add(mul(at(camera, 6), mul(distortion, flat)), part(7, 9));
      return sub(projected, constant([1.2, -0.7], [2]));
    },
    points: [[vector(0.1, -0.3, 0.2, 0.5, -0.2, -4, 1.8, 0.1, -0.05, 0.02, -0.003), vector(0.7, 0.4, 1)]],
  },
  {
    name: "the price of a call option: delta, rho, vega and theta",
    source:
      "Black & Scholes (1973), The pricing of options and corporate liabilities; Hull (2018), Options, Futures, and Other Derivatives, ch. 19",
    fn: (spot, rate, volatility, time) => {
      const strike = 95;
      const spread = mul(volatility, np.sqrt(time));
      const d1 = div(add(np.log(div(spot, strike)), mul(add(rate, div(square(volatility), 2)), time)), spread);
      const discounted = mul(strike, np.exp(np.negative(mul(rate, time))));
      return sub(mul(spot, normal(d1)), mul(discounted, normal(sub(d1, spread))));
    },
    points: [[scalar(100), scalar(0.05), scalar(0.2), scalar(0.75)]],
    jacobian: ([s], [r], [v], [t]) => {
      const k = 95;
      const d1 = (Math.log(s / k) + (r + (v * v) / 2) * t) / (v * Math.sqrt(t));
      const d2 = d1 - v * Math.sqrt(t);
      const discounted = k * Math.exp(-r * t);
      const vega = s * density(d1) * Math.sqrt(t);
      return [
        [distribution(d1)],
        [t * discounted * distribution(d2)],
        [vega],
        [(vega * v) / (2 * t) + r * discounted * distribution(d2)],
      ];
    },
    // Gamma.
    hessian: ([s], [r], [v], [t]) => {
      const d1 = (Math.log(s / 95) + (r + (v * v) / 2) * t) / (v * Math.sqrt(t));
      return [density(d1) / (s * v * Math.sqrt(t))];
    },
  },
  {
    name: "forces of Lennard-Jones",
    source:
      "Jones (1924), On the determination of molecular fields, Proc. Royal Society A 106; Allen & Tildesley (2017), section 1.3",
    fn: (positions) => {
      const gaps = sub(np.reshape(positions, [4, 1, 3]), positions);
      const apart = np.eye(4, 4, { dtype: "float64" });
      const inverse6 = np.power(div(1, add(np.sum(square(gaps), 2), apart)), 3);
      // Each pair is counted twice, and each atom's distance of one from itself gives no energy.
      return np.sum(mul(2, sub(square(inverse6), inverse6)));
    },
    points: [[matrix([0, 0, 0], [1.1, 0.1, -0.2], [0.2, 1.2, 0.3], [-0.4, 0.3, 1.5])]],
    jacobian: (x) => {
      const atoms = toRows(x, 3);
      return [
        atoms.flatMap((a, i) =>
          a.map((_, axis) =>
            atoms.reduce((force, b, j) => {
              if (i === j) return force;
              const r2 = a.reduce((s, v, k) => s + (v - b[k]) ** 2, 0);
              const r6 = r2 ** -3;
              return force - (24 * (2 * r6 * r6 - r6) * (a[axis] - b[axis])) / r2;
            }, 0),
          ),
        ),
      ];
    },
  },
  {
    name: "the spring pendulum, from its Lagrangian",
    source:
      "Goldstein, Poole & Safko (2002), Classical Mechanics, section 1.4; Cranmer et al. (2020), Lagrangian neural networks, eq. 6",
    // q = (r, θ): accelerations from (∂²L/∂v²) a = ∂L/∂q - (∂²L/∂q∂v) v, and their derivatives in turn.
    fn: (q, v) => {
      const lagrangian = (q: NDArray, v: NDArray): NDArray => {
        const kinetic = mul(mass / 2, add(square(at(v, 0)), square(mul(at(q, 0), at(v, 1)))));
        const potential = sub(
          mul(stiffness / 2, square(sub(at(q, 0), rest))),
          mul(mass * gravity, mul(at(q, 0), np.cos(at(q, 1)))),
        );
        return sub(kinetic, potential);
      };
      const masses = hessian((u: NDArray) => lagrangian(q, u))(v);
      const mixed = jacfwd((p: NDArray) => grad((u: NDArray) => lagrangian(p, u))(v))(q);
      const forces = sub(grad((p: NDArray) => lagrangian(p, v))(q), np.dot(mixed, v));
      return np.linalg.solve(masses, forces);
    },
    points: [[vector(1.2, 0.4), vector(0.3, -0.9)]],
    // r'' = r θ'² + g cos θ - (k/m)(r - l) and θ'' = -(g sin θ + 2 r' θ') / r.
    jacobian: ([r, angle], [dr, dangle]) => [
      [
        dangle * dangle - stiffness / mass,
        -gravity * Math.sin(angle),
        (gravity * Math.sin(angle) + 2 * dr * dangle) / (r * r),
        (-gravity * Math.cos(angle)) / r,
      ],
      [0, 2 * r * dangle, (-2 * dangle) / r, (-2 * dr) / r],
    ],
  },
];
