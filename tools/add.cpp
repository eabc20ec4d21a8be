// add: the sum of two streams, the paper's residual connection.
#include "cli/layer_options.hpp"
#include "cli/ranks.hpp"
#include "ops/elementwise.hpp"

using namespace pipeformer;

static const ToolSpec spec = {
    .name = "add",
    .summary = "add two streams, record by record (the residual connection)",
    .description =
        "Adds to each record of the input the record of --to at the same place. Both streams must have the same number "
        "of records, of the same shapes.\n\n"
        "Shapes: vectors (..., T, D) and vectors (..., T, D) -> vectors (..., T, D).",
    .options = join({{text("to", "FILE", "the other stream")}, batch_options()}),
    .examples = {{"x + attention(x)", "mhattn -m model.h5:encoder/0/self_attn x.npy | add --to x.npy -o sum.npy"},
                 {"twice the input", "add --to x.npy x.npy | peek"}},
    .see_also = {"norm", "mhattn", "ffn"},
};

static void add_streams(const Args& args) {
  const std::string input = args.input();
  expect_one_stdin(args, input, {"to"});
  BatchStream first(input, Accept::vectors), second(args.text("to"), Accept::vectors);
  const auto writer = RecordWriter::open(args.output(), args.output_options());
  for_batches(args, {&first, &second}, Batches::side_by_side, [&](BatchTurn& turn) {
    const BatchStream &x = turn[0], &to = turn[1];
    to.expect_shapes_of(x);
    const std::int64_t count = x.batch.positions() * x.batch.width;
    float* y = turn.ctx.workspace.get(count);
    add(count, x.batch.rows.data(), to.batch.rows.data(), y);
    return rows_to(*writer, x.batch, y, x.batch.width);
  });
  writer->close();
}

int main(int argc, char** argv) {
  return run_dealt(spec, argc, argv, add_streams);
}
