export type BackendName = "cpu" | "wgpu";

/** What the page asks of the worker. */
export type Request =
  | { readonly kind: "load"; readonly url: string }
  | { readonly kind: "open"; readonly backend: BackendName; readonly model: string }
  | { readonly kind: "train"; readonly epochs: number; readonly batch: number; readonly digits: number }
  | { readonly kind: "stop" }
  | { readonly kind: "read"; readonly id: number; readonly pixels: Uint8Array };

/** What the worker tells the page. */
export type News =
  | { readonly kind: "loaded"; readonly training: number; readonly test: number }
  | {
      readonly kind: "opened";
      readonly backend: BackendName;
      readonly model: string;
      readonly device: string;
      readonly trained: boolean;
    }
  | {
      readonly kind: "step";
      readonly step: number;
      readonly steps: number;
      readonly epoch: number;
      readonly digitsPerSecond: number;
      /** Losses that are new, of every step since the last time. */
      readonly losses: readonly number[];
    }
  | { readonly kind: "tested"; readonly step: number; readonly accuracy: number; readonly predictions: Uint8Array }
  | { readonly kind: "stopped"; readonly step: number }
  | { readonly kind: "answer"; readonly id: number; readonly probabilities: readonly number[] }
  | { readonly kind: "failed"; readonly message: string };
