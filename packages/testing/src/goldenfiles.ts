/** Values recorded from JAX, and the gradients and batching of the same cases: files in `goldens/`, by the script that records both. */
export interface GoldenFile {
  readonly values: string;
  readonly transforms: string;
}
export const goldenFiles: readonly GoldenFile[] = [
  { values: "numpy.json", transforms: "transforms.json" },
  { values: "fft.json", transforms: "fft_transforms.json" },
  { values: "linalg.json", transforms: "linalg_transforms.json" },
];
