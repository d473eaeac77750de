/** The environment of a process. */
export type Environment = Readonly<Record<string, string | undefined>>;

/** What starts processes, known by the variable in which it tells each of them how many there are. */
interface Launcher {
  readonly variable: string;
  readonly name: string;
  /** What to do where MPI does not see the processes that it has started. */
  readonly fix: string;
}

/**
 * The innermost first: within a job of Slurm `mpirun` starts processes by steps of Slurm, of which each has a task for a machine. A batch
 * script is no step, so a program that it runs by itself is one process, whatever SLURM_NTASKS says.
 */
const launchers: readonly Launcher[] = [
  {
    variable: "OMPI_COMM_WORLD_SIZE",
    name: "mpirun of Open MPI",
    fix: "load Open MPI (TRACEFORM_MPI_LIBRARY names its library), or start the program with the mpiexec of the library that is loaded",
  },
  {
    variable: "PMI_SIZE",
    name: "mpiexec of MPICH (or srun --mpi=pmi2)",
    fix: "load MPICH or its kin (TRACEFORM_MPI_LIBRARY names the library); for Open MPI use its mpirun, or srun --mpi=pmix",
  },
  {
    variable: "SLURM_STEP_NUM_TASKS",
    name: "srun",
    fix: "start it with srun --mpi=pmix for Open MPI, or srun --mpi=pmi2 for MPICH (srun --mpi=list says which there are)",
  },
];

/** The launcher of this process, and how many it has started; null for a process that was started alone. */
export function launcherOf(env: Environment): (Launcher & { readonly count: number }) | null {
  const launcher = launchers.find(({ variable }) => env[variable] !== undefined);
  return launcher === undefined ? null : { ...launcher, count: Number(env[launcher.variable]) };
}

/** Whether this process was started by a launcher of MPI: `mpirun`, `mpiexec`, or `srun` with more than one task. */
export function startedByMpi(env: Environment = process.env): boolean {
  const launcher = launcherOf(env);
  if (launcher?.variable === "SLURM_STEP_NUM_TASKS") return launcher.count > 1 || env["PMIX_RANK"] !== undefined;
  return launcher !== null || env["PMIX_RANK"] !== undefined || env["MPI_LOCALNRANKS"] !== undefined;
}

/** What to say before Open MPI, which a step of Slurm tells of the others by PMIx only, ends the process with a text on building Slurm. */
export function hintForOpenMpi(env: Environment): string | null {
  const { SLURM_STEP_NUM_TASKS: tasks, PMIX_RANK: pmix, OMPI_COMM_WORLD_SIZE: mpirun } = env;
  if (tasks === undefined || pmix !== undefined || mpirun !== undefined) return null;
  return "srun has started this program without PMIx, which Open MPI needs there: start it with srun --mpi=pmix";
}
