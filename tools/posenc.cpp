// posenc: adds positions to vectors (Vaswani et al. 2017, section 3.5).
#include "cli/layer_options.hpp"
#include "cli/ranks.hpp"
#include "models/single_layers.hpp"

using namespace pipeformer;

static const ToolSpec spec = {
    .name = "posenc",
    .summary = "add positions to vectors, or write the table of positions",
    .description =
        "Adds to each vector the encoding of its position in its sequence:\n\n"
        "    PE(pos, 2i) = sin(pos / 10000^(2i / D)), PE(pos, 2i + 1) = cos(...)\n\n"
        "'sinusoidal-halved' has all sines first, then all cosines. With -m FILE[:decoder] the kind is that of the "
        "model: learned positions are rows of its table, and vectors of a model that adds none (rotary, none) pass "
        "unchanged.\n\n"
        "Shapes: vectors (..., T, D) -> vectors (..., T, D); with --table no input -> one record (--length, --width).",
    .options = join(
        {{choice("kind", "sinusoidal|sinusoidal-halved|sinusoidal-fairseq", "without a model: which encoding",
                 "sinusoidal"),
          integer("first", "N", "the position of the first vector of each sequence", "0", 0, std::int64_t{1} << 31),
          flag("table", "write the table itself"), integer("length", "T", "--table: positions", "", 0),
          integer("width", "D", "--table: width, without a model", "", 1, 1 << 20)},
         batch_options()}),
    .examples = {{"ids to what an encoder reads", "embed -m model.h5 ids.npy | posenc -m model.h5 -o x.npy"},
                 {"a picture of the first 64 positions",
                  "posenc --table --length 64 --width 128 | peek --heatmap -o positions.svg"}},
    .see_also = {"embed", "encode", "attend"},
    .uses_model = true,
};

static void write_table(const Args& args, const Positions& positions, std::int64_t width) {
  const std::int64_t first = args.integer("first"), length = args.integer("length");
  if (!args.inputs().empty()) throw UsageError("--table reads no input");
  if (!positions.added()) throw Error(cat(args.model(), ": the model adds no positions, there is no table"));
  const auto writer = RecordWriter::open(args.output(), args.output_options());
  writer->write(DType::f4, {length, width}, positions.table(first, length, width).get());
  writer->close();
}

static void add_to_stream(const Args& args, const Positions& positions, const ModelFile* model,
                          std::optional<std::int64_t> width) {
  for (const char* option : {"length", "width"}) {
    if (args.given(option)) throw UsageError(cat("--", option, " belongs to --table"));
  }
  BatchStream input(args.input(), Accept::vectors);
  const auto writer = RecordWriter::open(args.output(), args.output_options());
  for_batches(args, {&input}, Batches::side_by_side, [&](BatchTurn& turn) {
    const BatchStream& x = turn[0];
    if (width) x.expect_width(*width, "the model's");
    float* y = turn.ctx.workspace.get(x.batch.positions() * x.batch.width);
    positions.add(x.batch.ragged(), x.batch.width, args.integer("first"), x.batch.rows.data(), y);
    return rows_to(*writer, x.batch, y, x.batch.width, model);
  });
  writer->close();
}

static void posenc(const Args& args) {
  std::optional<ModelFile> model;
  if (args.has("model")) model.emplace(args.model());
  if (model && (args.given("kind") || args.given("width"))) throw UsageError("the model gives --kind and --width");
  const Positions positions = model ? Positions(*model, model->configuration(), embedding_side(*model))
                                    : Positions(from_name<PositionKind>(args.text("kind")));
  std::optional<std::int64_t> width;
  if (model) width = model->configuration().embedding_width(embedding_side(*model) == "decoder");
  if (args.flag("table")) return write_table(args, positions, width ? *width : args.integer("width"));
  add_to_stream(args, positions, model ? &*model : nullptr, width);
}

int main(int argc, char** argv) {
  return run_dealt(spec, argc, argv, posenc);
}
