// pool: one vector for each sequence.
#include "cli/layer_options.hpp"
#include "cli/ranks.hpp"
#include "models/encode_batch.hpp"
#include "models/single_layers.hpp"

using namespace pipeformer;

static const ToolSpec spec = {
    .name = "pool",
    .summary = "one vector for each sequence: its mean, its first one, ...",
    .description =
        "Makes one vector of the vectors of a sequence: their mean, the first, the last, the largest number of each "
        "column, or the first beside the mean of the others. Of an empty sequence it is zero.\n\n"
        "-m FILE pools hidden states as the model does, which may also be its class tokens side by side, or the vector "
        "of the first end id; the ids are then a stream of their own, --ids. What the model does next has a name of "
        "its own: FILE:pooler, FILE:projection, FILE:classifier.\n\n"
        "Shapes: vectors (..., T, D) -> (..., D).",
    .options = join({{choice("kind", "mean|first|last|max|first-and-mean", "without a model: what is taken", "mean"),
                      text("ids", "FILE", "the ids of the sequences, for a model that pools by its end id")},
                     batch_options()}),
    .examples = {{"the mean of each sentence's vectors", "encode -m model.h5 ids.npy | pool -o means.npy"},
                 {"the classes of sentences, step by step",
                  "encode -m classes.h5 ids.npy | pool -m classes.h5 | linear -m classes.h5:classifier | peek"}},
    .see_also = {"encode", "classify", "linear"},
    .uses_model = true,
};

static void pool(const Args& args) {
  if (args.has("model") && args.given("kind")) throw UsageError("the model gives --kind");
  Configuration c;
  if (args.has("model")) c = ModelFile(args.model()).configuration();
  if (!args.has("model")) c.pooling = from_name<Pooling>(args.text("kind"));
  args.allow_only(c.pooling == Pooling::end, "a model that pools by its end id", {"ids"});
  c.pooler = false;
  expect_one_stdin(args, args.input(), {"ids"});
  BatchStream stream(args.input(), Accept::vectors);
  std::optional<BatchStream> ids;
  if (c.pooling == Pooling::end) ids.emplace(args.text("ids"), Accept::ids);
  const auto writer = RecordWriter::open(args.output(), args.output_options());
  const auto body = [&](BatchTurn& turn) -> BatchOutput {
    const BatchStream& x = turn[0];
    if (args.has("model")) x.expect_width(c.width, "the model's");
    for (std::int64_t r = 0; ids && r < x.batch.records(); ++r)
      require(turn[1].batch.length(r) == x.batch.length(r), turn[1].where_record(r), ": ", turn[1].batch.length(r),
              " ids do not match ", x.batch.length(r), " vectors of ", x.reader->name());
    Configuration own = c;
    own.width = x.batch.width;
    ArrayParameters none;
    const Pooler pooler(none, own);
    Pooler::Saved saved;
    const float* y = pooler.forward(turn.ctx, x.batch.ragged(), x.batch.rows.data(),
                                    ids ? turn[1].batch.tokens.data() : nullptr, saved);
    return [&, y, width = pooler.width()] {
      write_given(*writer, x.batch, EncodedBatch{}, GivenRows{y, width, false});
    };
  };
  ids ? for_batches(args, {&stream, &*ids}, Batches::side_by_side, body)
      : for_batches(args, {&stream}, Batches::side_by_side, body);
  writer->close();
}

int main(int argc, char** argv) {
  return run_dealt(spec, argc, argv, pool);
}
