#include "cli/batches.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "cli/options.hpp"
#include "models/parts.hpp"

namespace pipeformer {

std::vector<Option> batch_options() {
  return {integer("batch-rows", "N", "compute on about N positions at a time; changes the speed, never the result",
                  "1024", 1)};
}

void for_batches(const Args& args, std::initializer_list<BatchStream*> all, const std::function<void(Pass&)>& body) {
  for_batches(args, all, args.integer("batch-rows"), body);
}

void for_batches(const Args& args, std::initializer_list<BatchStream*> all, std::int64_t rows,
                 const std::function<void(Pass&)>& body) {
  // A stream may serve in two roles (self-attention): it is read once.
  std::vector<BatchStream*> streams;
  for (BatchStream* stream : all) {
    if (stream && std::find(streams.begin(), streams.end(), stream) == streams.end()) streams.push_back(stream);
  }
  const auto start = std::chrono::steady_clock::now();
  const BatchStream& first = *streams.front();
  Workspace workspace;
  std::int64_t positions = 0;
  while (read_batches(streams, rows)) {
    workspace.clear();
    Pass pass{workspace};
    try {
      body(pass);
    } catch (const RowError& error) {
      throw Error(cat(first.where(error.row()), ": ", error.what()));
    }
    positions += first.batch.positions();
  }
  if (!args.verbose()) return;
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  cli::write_error(cat(args.tool(), ": ", first.reader->count(), " records, ", positions, " positions, ",
                       cli::number_text(std::round(seconds.count() * 1000) / 1000), " s\n"));
}

void expect_one_stdin(const Args& args, const std::string& input, std::initializer_list<const char*> options) {
  const auto count =
      std::count_if(options.begin(), options.end(), [&](const char* o) { return args.has(o) && args.text(o) == "-"; });
  if (count + (input == "-") > 1) throw UsageError("only one input can be standard input ('-')");
}

std::optional<std::string> optional_text(const Args& args, const std::string& option) {
  return args.has(option) ? std::optional(args.text(option)) : std::nullopt;
}

LayerParameters layer_parameters(const Args& args, const std::vector<ArrayOption>& arrays) {
  if (args.has("model")) {
    for (const ArrayOption& array : arrays) {
      if (args.has(array.option)) throw UsageError(cat("--model and --", array.option, " exclude each other"));
    }
    auto model = std::make_unique<ModelFile>(args.model());
    LayerParameters layer{nullptr, model->group(), model->configuration()};
    layer.source = std::move(model);
    return layer;
  }
  auto source = std::make_unique<ArrayParameters>();
  for (const ArrayOption& array : arrays) {
    if (args.has(array.option)) {
      std::vector<std::string> names;
      for (const std::string& parameter : array.parameters) names.push_back("layer/" + parameter);
      source->add(names, args.text(array.option));
    } else if (array.required) {
      throw UsageError(cat("--model FILE:GROUP or --", array.option, " FILE is needed"));
    }
  }
  return {std::move(source), "layer", std::nullopt};
}

}  // namespace pipeformer
