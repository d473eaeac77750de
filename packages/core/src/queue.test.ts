import { expect, test } from "vitest";
import { DeviceQueue, effectsBarrier } from "./index.ts";

const later = <T>(value: T): Promise<T> => new Promise((resolve) => setTimeout(() => resolve(value), 1));

test("an empty queue runs a synchronous task at once", () => {
  const queue = new DeviceQueue();
  expect(queue.submit(() => 3)).toBe(3);
  expect(queue.isIdle).toBe(true);
});

test("tasks keep their order behind an asynchronous one", async () => {
  const queue = new DeviceQueue();
  const order: number[] = [];
  queue.submit(async () => {
    await later(null);
    order.push(1);
  });
  const second = queue.submit(() => order.push(2));
  expect(second).toBeInstanceOf(Promise);
  queue.submit(() => order.push(3));
  await queue.idle();
  expect(order).toEqual([1, 2, 3]);
  expect(queue.isIdle).toBe(true);
});

test("a failure reaches its reader and does not stop the queue", async () => {
  const queue = new DeviceQueue();
  const failing = queue.submit(async () => {
    await later(null);
    throw new Error("lost");
  });
  const after = queue.submit(() => "ran");
  await expect(failing).rejects.toThrow("lost");
  expect(await after).toBe("ran");
});

test("what a waiting task submits is a part of it, and runs at once", async () => {
  const queue = new DeviceQueue();
  const order: string[] = [];
  queue.submit(() => later(null));
  queue.submit(() => {
    expect(queue.isIdle).toBe(true);
    expect(queue.submit(() => "inner")).toBe("inner");
    order.push("task");
    void queue.submit(async () => {
      await later(null);
      order.push("inner and late");
    });
  });
  queue.submit(() => order.push("after"));
  await later(null);
  await later(null);
  queue.submit(() => order.push("last"));
  await queue.idle();
  expect(order).toEqual(["task", "after", "inner and late", "last"]);
});

test("effectsBarrier waits for everything that is under way, on all devices, well or badly", async () => {
  await effectsBarrier();
  const done: string[] = [];
  const [first, second] = [new DeviceQueue(), new DeviceQueue()];
  const failing = first.submit(async () => {
    await later(null);
    done.push("a");
    throw new Error("of whoever reads it");
  });
  first.submit(() => later(null).then(() => done.push("b")));
  second.submit(() => later(null).then(() => done.push("c")));
  await effectsBarrier();
  expect(done.sort()).toEqual(["a", "b", "c"]);
  await expect(failing).rejects.toThrow("of whoever reads it");
  expect(first.isIdle && second.isIdle).toBe(true);
});
