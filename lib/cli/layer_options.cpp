#include "cli/layer_options.hpp"

#include <algorithm>
#include <limits>

#include "cli/options.hpp"
#include "io/stack.hpp"
#include "models/single_layers.hpp"

namespace pipeformer {

std::vector<Option> part_options(const std::string& of) {
  return {integer("skip", "N", cat("pass over the first N records of ", of, "; the others keep their numbers"), "0", 0,
                  1e15),
          integer("take", "N", "only the first N records after them", "", 0, 1e15)};
}

std::int64_t taken(const Args& args) {
  return args.has("take") ? args.integer("take") : std::numeric_limits<std::int64_t>::max();
}

std::unique_ptr<RecordReader> part_of(const Args& args, std::unique_ptr<RecordReader> reader) {
  return part_of(std::move(reader), args.integer("skip"), taken(args));
}

std::vector<Option> batch_options() {
  return join({{integer("batch-rows", "N",
                        "compute on about N positions at a time; changes the speed, never the result", "1024", 1)},
               part_options()});
}

std::vector<Option> weight_type_options() {
  return {choice("weights", "int8|int4|f16|bf16",
                 "run the model with weights of this type; the results are those of what `model quantize` writes")};
}

std::string activation_choices() {
  std::string names;
  for (int kind = 0; kind < kActivations; ++kind)
    if (const auto activation = static_cast<Activation>(kind); activation != Activation::identity)
      names += (names.empty() ? "" : "|") + name_of(activation);
  return names;
}

std::optional<WeightType> weights_asked(const Args& args) {
  return args.has("weights") ? std::optional(weight_type_from_name(args.text("weights"))) : std::nullopt;
}

void expect_one_stdin(const Args& args, const std::string& input, std::initializer_list<const char*> options) {
  std::ptrdiff_t count = input == "-";
  for (const char* option : options) {
    const std::vector<std::string> files = args.list(option);
    count += std::count(files.begin(), files.end(), "-");
  }
  if (count > 1) throw UsageError("only one input can be standard input ('-')");
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
