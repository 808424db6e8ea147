// One answer of a GGUF by llama.cpp, as node-llama-cpp carries it prebuilt: seconds of loading, of the prompt, of steps.
//
//   node llama.mjs FOLDER_WITH_NODE_MODULES MODEL.gguf PROMPT_TOKENS TOKENS THREADS
//
// The prompt's tokens are arbitrary ones. Each step samples greedily, and goes on with a token of its own, so that no
// end-of-text token ends the answer early.

import {readFileSync} from "node:fs";
import {resolve} from "node:path";
import {pathToFileURL} from "node:url";

const [folder, modelPath, prompt, tokens, threads] = process.argv.slice(2);
const entry = resolve(folder, "node_modules/node-llama-cpp/dist/index.js");
const {getLlama, LlamaLogLevel} = await import(pathToFileURL(entry).href);
const seconds = () => performance.now() / 1000;
const next = {generateNext: {token: true, options: {temperature: 0}}};

const llama = await getLlama({gpu: false, build: "never", logLevel: LlamaLogLevel.error, maxThreads: Number(threads)});
const start = seconds();
const model = await llama.loadModel({modelPath});
const size = Number(prompt) + Number(tokens);
const context = await model.createContext({contextSize: size + 8, batchSize: Number(prompt), threads: Number(threads)});
const loaded = seconds();
const sequence = context.getSequence();

async function answer() {
    await sequence.clearHistory();
    const ids = Array.from({length: Number(prompt)}, (_, i) => 5 + (i * 37) % 200);
    const begin = seconds();
    await sequence.controlledEvaluate([...ids.slice(0, -1), [ids.at(-1), next]]);
    const first = seconds();
    for (let i = 1; i < Number(tokens); i++) await sequence.controlledEvaluate([[5 + i, next]]);
    const end = seconds();
    return {first_token_seconds: first - begin, ms_per_token: 1000 * (end - first) / (Number(tokens) - 1),
        seconds: end - begin};
}

const cold = await answer();
const warm = await answer();
const status = readFileSync("/proc/self/status", "ascii");
const peak = Number(/VmHWM:\s+(\d+) kB/.exec(status)[1]) * 1024;
console.log(JSON.stringify({load_seconds: loaded - start, cold_seconds: cold.seconds, ...warm, peak_gb: peak / 1e9}));
process.exit(0);
