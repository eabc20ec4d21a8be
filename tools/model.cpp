// model: makes and describes model files.
#include "cli/model_options.hpp"
#include "cli/tool.hpp"
#include "io/output_file.hpp"
#include "models/describe.hpp"
#include "models/transformer.hpp"

using namespace pipeformer;

namespace {

const ToolSpec spec{
    .name = "model",
    .summary = "make and describe model files",
    .description =
        "`model make -o FILE.h5` writes a model with random parameters from hyper-parameters; `model describe FILE.h5` "
        "shows a model's "
        "hyper-parameters, the name and shape of each parameter, and their number.\n\n"
        "A model file is HDF5: hyper-parameters are attributes of the root, parameters are datasets in groups named "
        "after the paper "
        "(encoder/0/self_attn/query/weight), weights (out, in) as in PyTorch, the tokenizer is the byte dataset "
        "`tokenizer`. Fresh weights are "
        "uniform after Glorot and Bengio 2010, embeddings normal with standard deviation 1/sqrt(width); a parameter's "
        "values depend on --seed "
        "and its name only.",
    .arguments = "FILE...",
    .options = join({{text("tokenizer", "FILE", "tokenizer to store in the model; gives the vocabulary")},
                     kind_options(),
                     configuration_options()}),
    .examples =
        {
            {"a small random model",
             "model make --source-vocabulary 50 --target-vocabulary 50 --begin-id 1 --end-id 2 --width 32 --heads 4 "
             "--inner 64 "
             "--encoder-layers 2 --decoder-layers 2 -o small.h5"},
            {"what is in it", "model describe model.h5"},
        },
    .see_also = {"train", "peek"},
    .writes_records = false,
};

void make(const Args& args) {
  const auto tokenizer = args.has("tokenizer") ? Tokenizer::load(args.text("tokenizer")) : nullptr;
  const Configuration configuration = configuration_from(args, tokenizer.get(), kind_from(args));
  ParameterArena arena([&](ParameterSource& source) { Transformer(source, configuration); });
  arena.initialize(args.seed());
  Hdf5File file = Hdf5File::create(args.output());
  arena.write(file, configuration, {tokenizer ? tokenizer->bytes() : "", ""});
  file.close();
}

}  // namespace

int main(int argc, char** argv) {
  return run_tool(spec, argc, argv, [](const Args& args) {
    const auto words = args.inputs();
    if (words[0] == "make" && words.size() == 1) return make(args);
    if (words[0] == "describe" && words.size() == 2) {
      for (const Option& option : spec.options) args.allow_only(false, "'model make'", {option.name});
      OutputFile out(args.output(), Content::text);
      out.write(describe(ModelFile(words[1])));
      return out.close();
    }
    throw UsageError("expected 'make' or 'describe FILE'");
  });
}
