// A tool for the tests of the command line: prints what it was given, or fails as it is told.
#include <cstdio>
#include <iostream>
#include <new>
#include <thread>

#include "cli/tool.hpp"
#include "core/error.hpp"
#include "core/threads.hpp"

using namespace pipeformer;

namespace {

const ToolSpec spec = {
    "probe",
    "print the command line as it was understood",
    "Reads nothing. Prints every option that has a value, one line 'name = value' each, then the ordinary arguments, "
    "so that a test "
    "can compare. A second sentence makes the paragraph long enough to be wrapped.\n\n"
    "  --heads N   kept as it stands\n\n"
    ".A paragraph that begins with a full stop, a \\backslash and 'quotes' - roff must leave them alone.",
    "[FILE...]",
    {
        integer("heads", "N", "attention heads that share the width", "8", 1, 512),
        integer("shift", "N", "a number of either sign", "", -100, 100),
        number("dropout", "P", "probability that an element is dropped", "0.1", 0, 1),
        text("title", "TEXT", "any text"),
        choice("activation", "relu|gelu|gelu-tanh", "function between the two products", "relu"),
        list("target", "FILE", "a file"),
        flag("causal", "a position sees none after it"),
        flag("bias", "add a bias", true),
        text("fail", "HOW", "fail: error, usage, memory, newline"),
        integer("work", "N", "pretend to work for N steps of 10 ms", "", 1, 1000),
        flag("read", "ask for the input"),
    },
    {{"Print the defaults", "probe"},
     {"Print two files and a number of heads", "probe --heads 4 x.npy ids.npy | grep -q 'heads = 4'"}},
    {"attend", "encode"},
    true,
    true,
    {},
    {"heads", "fail"}};

void fail(const std::string& how) {
  if (how == "error") throw Error("k.npy: record 17: key width 64 does not match query width 512");
  if (how == "usage") throw UsageError("the mask belongs to a dense batch");
  if (how == "memory") throw std::bad_alloc();
  if (how == "newline") throw Error("größe\nfalsch\033[31m\n");
}

void run(const Args& args) {
  if (args.has("fail")) fail(args.text("fail"));
  if (args.flag("read")) std::cout << "input = " << args.input() << "\n";
  if (args.has("work")) {
    Progress progress(args, "working", args.integer("work"), "steps");
    for (std::int64_t step = 1; step <= args.integer("work"); ++step) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
      progress.update(step, "loss 0.5");
      if (step == 50) progress.line("half way");
    }
    progress.finish();
  }
  std::cout << "heads = " << args.integer("heads") << "\n";
  if (args.has("shift")) std::cout << "shift = " << args.integer("shift") << "\n";
  std::cout << "dropout = " << args.number("dropout") << "\n";
  if (args.has("title")) std::cout << "title = " << args.text("title") << "\n";
  std::cout << "activation = " << args.text("activation") << "\n";
  for (const auto& target : args.list("target")) std::cout << "target = " << target << "\n";
  std::cout << "causal = " << args.flag("causal") << "\nbias = " << args.flag("bias") << "\n";
  std::cout << "output = " << args.output() << "\n";
  if (args.has("model")) std::cout << "model = " << args.model() << "\n";
  const OutputOptions options = args.output_options();
  if (options.format) std::cout << "format = " << *options.format << "\n";
  if (options.dtype) std::cout << "dtype = " << dtype_name(*options.dtype) << "\n";
  std::cout << "seed = " << args.seed() << "\nthreads = " << thread_count() << "\n";
  for (const auto& input : args.inputs()) std::cout << "argument = " << input << "\n";
}

}  // namespace

int main(int argc, char** argv) {
  return run_tool(spec, argc, argv, run);
}
