import { cpu } from "@traceform/backend-cpu";
import { provideBackend } from "@traceform/core";

// Nothing is compiled or allocated before the first operation asks for a backend.
provideBackend(cpu);
