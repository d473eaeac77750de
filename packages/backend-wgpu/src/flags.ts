/** WebGPU's flags by their numbers in the standard: the objects that name them are globals in browsers only. */
export const usage = {
  mapRead: 0x0001,
  copyFrom: 0x0004,
  copyTo: 0x0008,
  uniform: 0x0040,
  storage: 0x0080,
  queryResolve: 0x0200,
  indirect: 0x0100,
} as const;
export const mapForReading = 0x0001;
export const computeStage = 0x4;
