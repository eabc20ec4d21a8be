// activate: an activation function, element by element.
#include "cli/layer_options.hpp"
#include "cli/ranks.hpp"
#include "models/configuration.hpp"
#include "ops/elementwise.hpp"

using namespace pipeformer;

static const ToolSpec spec = {
    .name = "activate",
    .summary = "activation function, element by element",
    .description =
        "Replaces each number x by f(x): relu max(0, x); gelu x P(X <= x), X normal (Hendrycks, Gimpel 2016), by the "
        "error function; gelu-tanh its approximation; quick-gelu x sigmoid(1.702 x); silu x sigmoid(x); tanh. --times "
        "multiplies the result by another stream of the same shapes: a gated layer (Shazeer 2020).\n\n"
        "Shapes: vectors (..., D) -> vectors (..., D).",
    .options = join({{choice("kind", activation_choices(), "which function", "relu"),
                      text("times", "FILE", "multiply f(x) by the records of this stream")},
                     batch_options()}),
    .examples = {{"the inside of a feed-forward layer",
                  "linear -m model.h5:encoder/0/ffn/linear1 x.npy | activate --kind relu -o inner.npy"},
                 {"a function's shape", "activate --kind gelu x.npy | peek"}},
    .see_also = {"ffn", "linear"},
};

static void activate(const Args& args) {
  const auto kind = from_name<Activation>(args.text("kind"));
  expect_one_stdin(args, args.input(), {"times"});
  BatchStream input(args.input(), Accept::rows);
  std::optional<BatchStream> times;
  if (const auto path = optional_text(args, "times")) times.emplace(*path, Accept::rows);
  const auto writer = RecordWriter::open(args.output(), args.output_options());
  const auto body = [&](BatchTurn& turn) {
    const BatchStream& x = turn[0];
    if (times) turn[1].expect_shapes_of(x);
    const std::int64_t count = x.batch.positions() * x.batch.width;
    float* y = turn.ctx.workspace.get(count);
    activation(kind, x.batch.positions(), x.batch.width, x.batch.rows.data(), y);
    if (times) multiply(count, y, turn[1].batch.rows.data(), y);
    return rows_to(*writer, x.batch, y, x.batch.width);
  };
  times ? for_batches(args, {&input, &*times}, Batches::side_by_side, body)
        : for_batches(args, {&input}, Batches::side_by_side, body);
  writer->close();
}

int main(int argc, char** argv) {
  return run_dealt(spec, argc, argv, activate);
}
