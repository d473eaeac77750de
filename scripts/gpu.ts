import { join } from "node:path";
import { hasArchives, unpack } from "./browser/archives.ts";

/**
 * Gives the tests a WebGPU adapter where there may be no GPU: SwiftShader, a Vulkan driver that runs on the CPU and that npm carries
 * for Linux on x64. Vulkan looks for drivers when a process starts, so this comes before the processes of the tests. A driver
 * that was named from outside stays; on other machines the system's own is used.
 */
export default async function setup(): Promise<void> {
  if (!hasArchives || process.env["VK_DRIVER_FILES"] !== undefined) return;
  const folder = await unpack("swiftshader", ["swiftshader.tar"]);
  process.env["VK_DRIVER_FILES"] = join(folder, "vk_swiftshader_icd.json");
  process.env["LD_LIBRARY_PATH"] = [folder, process.env["LD_LIBRARY_PATH"]].filter(Boolean).join(":");
}
