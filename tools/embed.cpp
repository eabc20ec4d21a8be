// embed: ids to vectors, by looking them up in a table (Vaswani et al. 2017, section 3.4).
#include "cli/layer_options.hpp"
#include "cli/ranks.hpp"
#include "models/image_input.hpp"
#include "models/single_layers.hpp"

using namespace pipeformer;

static const ToolSpec spec = {
    .name = "embed",
    .summary = "look up the vectors of ids",
    .description =
        "Reads ids and writes for each the row of the embedding table, multiplied by the square root of the width when "
        "the model was made so. Positions are not added: that is what posenc does.\n\n"
        "A model of vectors (patches of images) has a linear layer instead of a table, and perhaps class tokens, which "
        "become the first rows of each sequence; when imported, it takes normalised images (..., C, H, W) as well.\n\n"
        "A model with types of tokens adds the vector of each token's type: --types names a stream of them beside ids "
        "(default: all 0).\n\n"
        "-m FILE takes the table of a model's encoder (of the decoder, when the model has nothing else), "
        "-m FILE:decoder that of its decoder. --table takes an array (V, D).\n\n"
        "Shapes: ids (..., T) integers -> vectors (..., T, D); of a model of vectors (..., T, P) -> (..., T, D), with "
        "N "
        "class tokens (..., N + T, D).",
    .options = join({{text("table", "FILE", "look up in this array (V, D)"),
                      number("scale", "S", "multiply the rows of --table by S", "1", -1e300, 1e300),
                      text("types", "FILE", "types of the ids, a stream beside the input")},
                     batch_options()}),
    .examples = {{"the source embeddings of a model", "embed -m model.h5 ids.npy -o vectors.npy"},
                 {"a table of one's own", "embed --table table.npy ids.npy | peek"}},
    .see_also = {"tokenize", "posenc", "encode"},
    .uses_model = true,
};

static TokenEmbedding embedding_from(const Args& args, LayerParameters& layer) {
  if (auto* model = dynamic_cast<ModelFile*>(layer.source.get())) {
    if (args.given("scale")) throw UsageError("--scale belongs to --table: a model knows its scale");
    return TokenEmbedding(*model, model->configuration(), embedding_side(*model));
  }
  const Linear table = make_linear(*layer.source, layer.name);
  return TokenEmbedding(table.weight(), static_cast<float>(args.number("scale")));
}

/// The vectors of a model that reads vectors.
static void embed_vectors(const Args& args, ModelFile& model) {
  if (args.given("scale")) throw UsageError("--scale belongs to --table");
  if (args.has("types")) throw UsageError("--types needs a model that reads ids");
  const VectorEmbedding embedding(model, model.configuration());
  BatchStream stream(images_to_patches(RecordReader::open(args.input()), model.configuration()), Accept::vectors);
  const auto writer = RecordWriter::open(args.output(), args.output_options());
  for_batches(args, {&stream}, Batches::side_by_side, [&](BatchTurn& turn) {
    const BatchStream& input = turn[0];
    input.expect_width(embedding.input_width(), "the model's");
    VectorEmbedding::Saved saved;
    const float* y = embedding.project(turn.ctx, input.batch.ragged(), input.batch.rows.data(), saved);
    return [&, layout = with_lengths(input.batch, saved.ragged()), y] {
      model.explain(y, layout.positions() * embedding.width());
      write_rows(*writer, layout, y, embedding.width());
    };
  });
  writer->close();
}

static void embed(const Args& args) {
  LayerParameters layer = layer_parameters(args, {{"table", {"weight"}, true}});
  if (auto* model = dynamic_cast<ModelFile*>(layer.source.get()); model && model->configuration().reads_vectors())
    return embed_vectors(args, *model);
  const TokenEmbedding embedding = embedding_from(args, layer);
  expect_one_stdin(args, args.input(), {"types"});
  BatchStream stream(args.input(), Accept::ids);
  std::optional<BatchStream> types;
  if (const auto path = optional_text(args, "types")) types.emplace(*path, Accept::ids);
  const auto writer = RecordWriter::open(args.output(), args.output_options());
  const auto body = [&](BatchTurn& turn) {
    const BatchStream& ids = turn[0];
    if (types) turn[1].expect_shapes_of(ids);
    const std::int64_t rows = ids.batch.positions();
    float* y = turn.ctx.workspace.get(rows * embedding.width());
    embedding.look_up(rows, ids.batch.tokens.data(), types ? turn[1].batch.tokens.data() : nullptr, y);
    return rows_to(*writer, ids.batch, y, embedding.width(), layer.source.get());
  };
  types ? for_batches(args, {&stream, &*types}, Batches::side_by_side, body)
        : for_batches(args, {&stream}, Batches::side_by_side, body);
  writer->close();
}

int main(int argc, char** argv) {
  return run_dealt(spec, argc, argv, embed);
}
