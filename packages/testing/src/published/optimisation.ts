import type { NDArray } from "@traceform/core";
import * as np from "@traceform/numpy";
import { type Published, section, vector } from "./case.ts";

const { PI: pi, E: e } = Math;
/** The elements of a vector as scalars. */
const parts = (x: NDArray): NDArray[] => Array.from({ length: x.shape[0] }, (_, i) => np.take(x, i));
/** 1, 2, 3, …, one for each element. */
const positions = (x: NDArray): NDArray => np.arange(1, x.shape[0] + 1, 1, { dtype: "float64" });
const { add, multiply: mul, subtract: sub, square, cos, exp, sin, sqrt, sum } = np;

/** Test functions of optimisation. */
export const optimisation = (): Published[] => [
  {
    name: "Rosenbrock",
    source: "Rosenbrock (1960), An automatic method for finding the greatest or least value of a function, Computer Journal 3",
    fn: (x) => {
      const [head, tail] = [section(x, 0, -1), section(x, 1, null)];
      return sum(add(mul(100, square(sub(tail, square(head)))), square(sub(1, head))));
    },
    points: [[vector(-1.2, 1)], [vector(1, 1)], [vector(0.3, -0.7)]],
    jacobian: ([x, y]) => [[-400 * x * (y - x * x) - 2 * (1 - x), 200 * (y - x * x)]],
    hessian: ([x, y]) => [1200 * x * x - 400 * y + 2, -400 * x, -400 * x, 200],
  },
  {
    name: "Himmelblau",
    source: "Himmelblau (1972), Applied Nonlinear Programming, McGraw-Hill",
    fn: (v) => {
      const [x, y] = parts(v);
      return add(square(sub(add(square(x), y), 11)), square(sub(add(x, square(y)), 7)));
    },
    points: [[vector(3, 2)], [vector(-0.27, -0.92)], [vector(4, -1)]],
    jacobian: ([x, y]) => {
      const [a, b] = [x * x + y - 11, x + y * y - 7];
      return [[4 * x * a + 2 * b, 2 * a + 4 * y * b]];
    },
    hessian: ([x, y]) => [12 * x * x + 4 * y - 42, 4 * (x + y), 4 * (x + y), 12 * y * y + 4 * x - 26],
  },
  {
    name: "Beale",
    source: "Beale (1958), On an iterative method for finding a local minimum, Princeton; Moré, Garbow & Hillstrom (1981), no. 5",
    fn: (v) => {
      const [x, y] = parts(v);
      return [1.5, 2.25, 2.625].map((c, i) => square(add(sub(c, x), mul(x, np.power(y, i + 1))))).reduce((a, b) => add(a, b));
    },
    points: [[vector(3, 0.5)], [vector(1, 1)], [vector(-0.4, 2)]],
    jacobian: ([x, y]) => {
      const residuals = [1.5, 2.25, 2.625].map((c, i) => c - x + x * y ** (i + 1));
      return [
        [
          residuals.reduce((s, r, i) => s + 2 * r * (y ** (i + 1) - 1), 0),
          residuals.reduce((s, r, i) => s + 2 * r * x * (i + 1) * y ** i, 0),
        ],
      ];
    },
  },
  {
    name: "Booth",
    source: "Jamil & Yang (2013), A literature survey of benchmark functions for global optimisation problems, no. 17",
    fn: (v) => {
      const [x, y] = parts(v);
      return add(square(sub(add(x, mul(2, y)), 7)), square(sub(add(mul(2, x), y), 5)));
    },
    points: [[vector(1, 3)], [vector(-2, 0.5)]],
    jacobian: ([x, y]) => [[10 * x + 8 * y - 34, 8 * x + 10 * y - 38]],
    hessian: () => [10, 8, 8, 10],
  },
  {
    name: "Ackley",
    source: "Ackley (1987), A Connectionist Machine for Genetic Hillclimbing, Kluwer",
    fn: (x) => {
      const n = x.shape[0];
      const root = sqrt(np.divide(sum(square(x)), n));
      return add(sub(mul(-20, exp(mul(-0.2, root))), exp(np.divide(sum(cos(mul(2 * pi, x))), n))), 20 + e);
    },
    points: [[vector(0.5, -1.2, 2)], [vector(3, 3)]],
    jacobian: (x) => {
      const n = x.length;
      const root = Math.sqrt(x.reduce((s, v) => s + v * v, 0) / n);
      const waves = Math.exp(x.reduce((s, v) => s + Math.cos(2 * pi * v), 0) / n);
      return [x.map((v) => (4 * v * Math.exp(-0.2 * root)) / (n * root) + (2 * pi * Math.sin(2 * pi * v) * waves) / n)];
    },
  },
  {
    name: "Rastrigin",
    source: "Rastrigin (1974), Systems of Extremal Control; Mühlenbein, Schomisch & Born (1991), Parallel Computing 17",
    fn: (x) => add(sum(sub(square(x), mul(10, cos(mul(2 * pi, x))))), 10 * x.shape[0]),
    points: [[vector(0.3, -0.7, 1.1, 2)]],
    jacobian: (x) => [x.map((v) => 2 * v + 20 * pi * Math.sin(2 * pi * v))],
    hessian: (x) => x.flatMap((v, i) => x.map((_, j) => (i === j ? 2 + 40 * pi * pi * Math.cos(2 * pi * v) : 0))),
  },
  {
    name: "Powell's singular function",
    source:
      "Powell (1962), An iterative method for finding stationary values of a function of several variables, Computer Journal 5",
    fn: (v) => {
      const [a, b, c, d] = parts(v);
      const near = add(square(add(a, mul(10, b))), mul(5, square(sub(c, d))));
      return add(near, add(np.power(sub(b, mul(2, c)), 4), mul(10, np.power(sub(a, d), 4))));
    },
    points: [[vector(3, -1, 0, 1)], [vector(0, 0, 0, 0)]],
    jacobian: ([a, b, c, d]) => {
      const [p, q, r, s] = [a + 10 * b, c - d, (b - 2 * c) ** 3, (a - d) ** 3];
      return [[2 * p + 40 * s, 20 * p + 4 * r, 10 * q - 8 * r, -10 * q - 40 * s]];
    },
    hessian: ([a, b, c, d]) => {
      const [r, s] = [12 * (b - 2 * c) ** 2, 120 * (a - d) ** 2];
      return [2 + s, 20, 0, -s, 20, 200 + r, -2 * r, 0, 0, -2 * r, 10 + 4 * r, -10, -s, 0, -10, 10 + s];
    },
  },
  {
    name: "Wood (Colville)",
    source: "Colville (1968), A comparative study of nonlinear programming codes, IBM; Moré, Garbow & Hillstrom (1981), no. 14",
    fn: (v) => {
      const [a, b, c, d] = parts(v);
      const valleys = add(
        add(mul(100, square(sub(b, square(a)))), square(sub(1, a))),
        add(mul(90, square(sub(d, square(c)))), square(sub(1, c))),
      );
      const coupled = add(mul(10.1, add(square(sub(b, 1)), square(sub(d, 1)))), mul(19.8, mul(sub(b, 1), sub(d, 1))));
      return add(valleys, coupled);
    },
    points: [[vector(-3, -1, -3, -1)], [vector(1, 1, 1, 1)]],
    jacobian: ([a, b, c, d]) => [
      [
        -400 * a * (b - a * a) - 2 * (1 - a),
        200 * (b - a * a) + 20.2 * (b - 1) + 19.8 * (d - 1),
        -360 * c * (d - c * c) - 2 * (1 - c),
        180 * (d - c * c) + 20.2 * (d - 1) + 19.8 * (b - 1),
      ],
    ],
  },
  {
    name: "Branin",
    source: "Branin (1972), Widely convergent method for finding multiple solutions of simultaneous nonlinear equations, IBM J. 16",
    fn: (v) => {
      const [x, y] = parts(v);
      const arc = add(sub(y, mul(5.1 / (4 * pi * pi), square(x))), sub(mul(5 / pi, x), 6));
      return add(square(arc), add(mul(10 * (1 - 1 / (8 * pi)), cos(x)), 10));
    },
    points: [[vector(2.5, 7)], [vector(-pi, 12.275)]],
    jacobian: ([x, y]) => {
      const arc = y - (5.1 * x * x) / (4 * pi * pi) + (5 * x) / pi - 6;
      return [[2 * arc * (5 / pi - (5.1 * x) / (2 * pi * pi)) - 10 * (1 - 1 / (8 * pi)) * Math.sin(x), 2 * arc]];
    },
  },
  {
    name: "Styblinski–Tang",
    source: "Styblinski & Tang (1990), Experiments in nonconvex optimization, Neural Networks 3",
    fn: (x) => mul(0.5, sum(add(sub(np.power(x, 4), mul(16, square(x))), mul(5, x)))),
    points: [[vector(-2.903534, 1, 0, 3)]],
    jacobian: (x) => [x.map((v) => 2 * v ** 3 - 16 * v + 2.5)],
  },
  {
    name: "Griewank",
    source: "Griewank (1981), Generalized descent for global optimization, J. Optimization Theory and Applications 34",
    fn: (x) => {
      const roots = np.sqrt(positions(x));
      return add(sub(np.divide(sum(square(x)), 4000), np.prod(cos(np.divide(x, roots)))), 1);
    },
    points: [[vector(0.5, -1.5, 3)]],
    jacobian: (x) => {
      const factors = x.map((v, i) => Math.cos(v / Math.sqrt(i + 1)));
      return [
        x.map((v, i) => {
          const others = factors.reduce((p, f, k) => (k === i ? p : p * f), 1);
          return v / 2000 + (others * Math.sin(v / Math.sqrt(i + 1))) / Math.sqrt(i + 1);
        }),
      ];
    },
  },
  {
    name: "Michalewicz",
    source: "Michalewicz (1996), Genetic Algorithms + Data Structures = Evolution Programs, Springer",
    fn: (x) => {
      const i = positions(x);
      return np.negative(sum(mul(sin(x), np.power(sin(np.divide(mul(i, square(x)), pi)), 20))));
    },
    points: [[vector(2.2, 1.57, 1.3)]],
    jacobian: (x) => [
      x.map((v, k) => {
        const angle = ((k + 1) * v * v) / pi;
        const slope = (2 * (k + 1) * v) / pi;
        return -(Math.cos(v) * Math.sin(angle) ** 20 + 20 * Math.sin(v) * Math.sin(angle) ** 19 * Math.cos(angle) * slope);
      }),
    ],
  },
];
