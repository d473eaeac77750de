export * from "./fft/frequencies.ts";
export * from "./fft/hermitian.ts";
export * from "./fft/transforms.ts";
