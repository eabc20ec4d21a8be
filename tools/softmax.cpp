// softmax: numbers to probabilities, along the last axis.
#include "cli/layer_options.hpp"
#include "core/one_nan.hpp"
#include "ops/elementwise.hpp"
#include "ops/pooling.hpp"

using namespace pipeformer;

static const ToolSpec spec = {
    .name = "softmax",
    .summary = "numbers to probabilities along the last axis",
    .description =
        "Replaces each row x of the last axis by exp(x / T) over its sum (--temperature T). Of scores it makes the "
        "weights that attention multiplies values by, to the same bits; a row of -inf alone becomes zeros.\n\n"
        "Shapes: vectors (..., D) -> vectors (..., D).",
    .options = join({{number("temperature", "T", "divide the numbers by T first", "1", 1e-6, 1e6)}, part_options()}),
    .examples = {{"attention weights from scores",
                  "attend --heads 4 x.npy --causal --give biased | softmax -o weights.npy"},
                 {"probabilities of the next tokens",
                  "decode -m model.h5 text.en.npy --target text.de.npy --give logits | softmax | peek"}},
    .see_also = {"attend", "linear", "activate"},
};

static void softmax(const Args& args) {
  const auto temperature = static_cast<float>(args.number("temperature"));
  const auto reader = part_of(args, RecordReader::open(args.input()));
  const auto writer = RecordWriter::open(args.output(), args.output_options());
  Buffer<float> copy;
  Array record;  // one at a time: rows of attention scores differ in length from record to record
  while (reader->next(record)) {
    reader->expect_floats(record);
    require(record.rank() > 0, reader->where(), ": a number alone has no last axis");
    const std::int64_t width = record.shape.back(), rows = width == 0 ? 0 : record.size() / width;
    float* x = record.values<float>().data();
    if (temperature != 1) scale(rows * width, 1 / temperature, x);
    softmax_rows(rows, width, x);
    writer->write(DType::f4, record.shape, with_one_nan(x, rows * width, copy));
  }
  writer->close();
}

int main(int argc, char** argv) {
  return run_tool(spec, argc, argv, softmax);
}
