import { cpu } from "@traceform/backend-cpu";
import { provideBackend, provideVmap } from "@traceform/core";
import { provideParallel } from "@traceform/pmap";
import { vmap } from "@traceform/vmap";

// Nothing is compiled or allocated before the first operation asks for a backend.
provideBackend(cpu);
provideVmap(vmap);
provideParallel();
