// model: imports, exports, makes, averages, merges, quantises and describes model files.
#include <map>

#include "cli/model_options.hpp"
#include "cli/tool.hpp"
#include "import/export.hpp"
#include "import/import.hpp"
#include "io/output_file.hpp"
#include "models/average.hpp"
#include "models/describe.hpp"
#include "models/quantization.hpp"
#include "models/transformer.hpp"

using namespace pipeformer;

namespace {

const ToolSpec spec{
    .name = "model",
    .summary = "import, export, make, average, merge, quantise and describe model files",
    .description =
        "`model import DIR -o FILE.h5` reads a checkpoint in Hugging Face's layout (config.json, safetensors or "
        "pytorch_model.bin, tokenizer.json) and refuses what it does not understand; float16 and bfloat16 stay so "
        "unless "
        "--widen is given.\n\n"
        "`model export FILE.h5 -o DIR` writes such a directory: importing it again gives the same parameters, bit for "
        "bit. The family is that of the import, --family NAME, or the first that has a place for all "
        "hyper-parameters (the paper's translator is one of Marian with its columns in another order); if there is "
        "none, those of the nearest family that differ are listed. The logit_scale of one encoder of pairs, which only "
        "training reads, has no place there. DIR must not exist, or be empty.\n\n"
        "`model make -o FILE.h5` writes a model with random parameters from hyper-parameters; `model average -o "
        "FILE.h5 "
        "A.h5 B.h5 ...` writes the mean of several; `model describe FILE.h5` shows a model's hyper-parameters, the "
        "name "
        "shape and type of each parameter, and their number.\n\n"
        "`model merge TUNED.h5 -o FILE.h5` adds the adapters that train --adapter made to their weights: an ordinary "
        "model with the same results.\n\n"
        "`model quantize FILE.h5 --weights int8 -o SMALL.h5` writes the model with the weights of its products and "
        "embeddings in fewer bits; norms, biases and positions stay as they are, and the weights that --keep names. "
        "Every tool runs such a model. int8: symmetric, one scale for each row of a weight, a quarter of the bytes; "
        "what is multiplied by it is quantised row by row as well, and the sums are exact. int4: a scale for each 32 "
        "elements of a row, a sixth of the bytes; it is for single streams, where weights pass from memory for each "
        "token, "
        "and costs quality, so --keep what matters. f16 and bf16: stored so, "
        "computed in float32. f32 widens again: training, averaging and export need it.\n\n"
        "Averaging the last checkpoints of a training run often does better than the last one (Vaswani et al. 2017, "
        "section 6.1). All must have the same hyper-parameters; the tokenizer is that of the first. A checkpoint of "
        "train is a model too; what it holds of the run is left out. Of files of several models each is averaged, and "
        "merged.\n\n"
        "A model file is HDF5: hyper-parameters are attributes of the root, parameters are datasets in groups named "
        "after the paper "
        "(encoder/0/self_attn/query/weight), weights (out, in) as in PyTorch, the tokenizer is the byte dataset "
        "`tokenizer`. Fresh weights are "
        "uniform after Glorot and Bengio 2010, embeddings normal with standard deviation 1/sqrt(width); a parameter's "
        "values depend on --seed "
        "and its name only.",
    .arguments = "FILE...",
    .options =
        join({{flag("widen", "import: float16 and bfloat16 become float32"),
               list("drop", "PATTERN", "import: leave out the tensors whose names match"),
               text("family", "NAME",
                    "export: model_type of the checkpoint (default: that of the import, else "
                    "the nearest)"),
               flag("without-tokenizer", "export: leave the tokenizer out"),
               choice("weights", "int8|int4|f16|bf16|f32", "quantize: the type of the weights"),
               list("keep", "GLOB", "quantize: weights whose names (of `model describe`) match stay as they are"),
               integer("positions-table", "N",
                       "export: positions of the table that sinusoids become where the family has tables only "
                       "(default: the context that the model was trained with, or --max-positions)",
                       "", 1),
               flag("taps", "describe: the names and shapes of all intermediates instead")},
              {text("tokenizer", "FILE", "tokenizer to store in the model; gives the vocabulary")},
              kind_options(),
              configuration_options()}),
    .examples =
        {
            {"a small random model",
             "model make --source-vocabulary 50 --target-vocabulary 50 --begin-id 1 --end-id 2 --width 32 --heads 4 "
             "--inner 64 "
             "--encoder-layers 2 --decoder-layers 2 -o small.h5"},
            {"a model of other people's", "model import gpt2/ -o gpt2.h5"},
            {"back into their layout", "model import gpt2/ -o gpt2.h5 && model export gpt2.h5 -o gpt2-again"},
            {"a quarter of the bytes, but the embeddings as they are",
             "model quantize model.h5 --weights int8 --keep '*embedding/weight' -o small.h5"},
            {"what is in it", "model describe model.h5"},
            {"what a run of it computes, by name", "model describe model.h5 --taps"},
            {"the mean of a model and what more training made of it",
             "train --from model.h5 --source text.en.npy --target text.de.npy --steps 3 -o tuned.h5 && "
             "model average model.h5 tuned.h5 -o average.h5"},
        },
    .see_also = {"train", "peek"},
    .writes_records = false,
    .commands = {"make", "import", "export", "average", "merge", "quantize", "describe"},
};

void make(const Args& args) {
  const auto tokenizer = args.has("tokenizer") ? Tokenizer::load(args.text("tokenizer")) : nullptr;
  const Configuration configuration = configuration_from(args, tokenizer.get(), kind_from(args));
  ParameterArena arena([&](ParameterSource& source) { Transformer(source, configuration); });
  arena.initialize(args.seed());
  Hdf5File file = Hdf5File::create(args.output());
  arena.write(file, configuration, {.tokenizer = tokenizer ? tokenizer->bytes() : ""});
  file.close();
}

/// Refuses the options of other commands.
void allow(const Args& args, const std::string& command) {
  const std::map<std::string, std::string> owners{
      {"widen", "import"},     {"drop", "import"},   {"family", "export"},          {"without-tokenizer", "export"},
      {"weights", "quantize"}, {"keep", "quantize"}, {"positions-table", "export"}, {"taps", "describe"}};
  for (const Option& option : spec.options) {
    const auto owner = owners.find(option.name);
    const std::string of = owner == owners.end() ? "make" : owner->second;
    args.allow_only(of == command, "'model " + of + "'", {option.name});
  }
}

}  // namespace

int main(int argc, char** argv) {
  return run_tool(spec, argc, argv, [](const Args& args) {
    const auto words = args.inputs();
    if (words[0] == "make" && words.size() == 1) return make(args);
    if (words[0] == "import" && words.size() == 2) {
      allow(args, "import");
      return import_checkpoint(words[1], args.output(), {args.flag("widen"), args.list("drop")});
    }
    if (words[0] == "export" && words.size() == 2) {
      allow(args, "export");
      if (args.output() == "-") throw UsageError("export makes a directory: -o DIR names it");
      return export_checkpoint(words[1], args.output(),
                               {args.has("family") ? args.text("family") : "", args.flag("without-tokenizer"),
                                args.has("positions-table") ? args.integer("positions-table") : 0});
    }
    allow(args, words[0]);
    if (words[0] == "quantize" && words.size() == 2) {
      if (!args.has("weights")) throw UsageError("quantize needs --weights");
      return quantize_model(words[1], args.output(), {weight_type_from_name(args.text("weights")), args.list("keep")});
    }
    if (words[0] == "average" && words.size() > 1)
      return average_models({words.begin() + 1, words.end()}, args.output());
    if (words[0] == "merge" && words.size() == 2) {
      bool adapted = false;
      for (const ModelPlace& place : models_at(words[1])) adapted |= ModelFile(place.address).adapter_scale() > 0;
      require(adapted, words[1], ": the model has no adapters");
      return average_models({words[1]}, args.output());
    }
    if (words[0] == "describe" && words.size() == 2) {
      OutputFile out(args.output(), Content::text);
      if (args.flag("taps")) {
        const ModelFile file(words[1]);
        out.write(describe(list_taps([&](ParameterSource& source) { Transformer(source, file.configuration()); })));
      } else {
        out.write(describe_models(words[1]));
      }
      return out.close();
    }
    throw UsageError(
        "expected 'import DIR', 'export FILE', 'make', 'average FILE...', 'merge FILE', 'quantize FILE' or 'describe "
        "FILE'");
  });
}
