// slice: cuts, joins, turns and averages arrays along their axes.
#include <exception>
#include <functional>

#include "cli/layer_options.hpp"
#include "core/axes.hpp"

using namespace pipeformer;

static const ToolSpec spec = {
    .name = "slice",
    .summary = "cut, join, turn and average arrays along their axes",
    .description =
        "Does to each record what the options say, in this order: --join other streams to it; --split heads that stand "
        "side by side; --reshape; --transpose; select; --mean; --squeeze; --merge heads.\n\n"
        "Selections are numbers and ranges from 0, as in 0,2-4. --columns and --keys are the last axis, --rows and "
        "--queries the one before it, --heads the one before that; --records chooses records. --axis N=SELECTION "
        "counts axes from 0, or from the last, -1. The same names tell --join and --mean the axis.\n\n"
        "--mean records makes one record of all: their mean, when they have one shape; --mean positions the mean of "
        "all "
        "rows of all records, a vector.\n\n"
        "Shapes: as asked for; any dtype.",
    .options = join(
        {{list("join", "FILE", "put the records of this stream beside those of the input"),
          text("along", "AXIS", "--join: on this axis", "columns"),
          integer("split", "H", "(..., T, H d) becomes (..., H, T, d)", "", 1),
          text("reshape", "N,N,...", "the same elements in this shape; -1: what is left"),
          flag("transpose", "exchange the last two axes"), text("order", "N,N,...", "put the axes into this order"),
          text("records", "SELECTION", "of the stream"), text("heads", "SELECTION", "of the third axis from the end"),
          text("rows", "SELECTION", "of the axis before the last"),
          text("queries", "SELECTION", "the same, of attention weights"),
          text("columns", "SELECTION", "of the last axis"), text("keys", "SELECTION", "the same, of attention weights"),
          list("axis", "N=SELECTION", "of any axis"),
          list("mean", "AXIS", "the mean over an axis, over records, or over positions"),
          flag("squeeze", "leave out axes of one element"), flag("merge", "(..., H, T, d) becomes (..., T, H d)")},
         part_options()}),
    .examples = {{"head 1 of the first record's attention weights, its first two queries",
                  "attend --heads 4 x.npy --give weights | slice --records 0 --heads 1 --queries 0,1 --squeeze | peek"},
                 {"the mean of all vectors of a stream", "slice --mean positions x.npy -o mean.npy"}},
    .see_also = {"convert", "peek", "softmax"},
};

namespace {

std::int64_t axis_named(const std::string& name, const std::string& option) {
  if (name == "columns" || name == "keys") return -1;
  if (name == "rows" || name == "queries") return -2;
  if (name == "heads") return -3;
  try {
    std::size_t used = 0;
    const std::int64_t axis = std::stoll(name, &used);
    if (used == name.size()) return axis;
  } catch (const std::logic_error&) {
    // told below
  }
  throw UsageError(cat("--", option, ": '", name, "' is no axis: columns, rows, heads or a number"));
}

std::vector<std::int64_t> numbers(const std::string& text, const std::string& option) {
  std::vector<std::int64_t> list;
  for (const std::string& part : split(text, ',')) list.push_back(axis_named(part, option));
  return list;
}

using Step = std::function<Array(Array)>;

/// What is done to each record, after others were joined to it.
std::vector<Step> steps_of(const Args& args) {
  std::vector<Step> steps;
  if (args.has("split")) steps.push_back([&](const Array& x) { return split_heads(x, args.integer("split")); });
  if (args.has("reshape"))
    steps.push_back(
        [shape = numbers(args.text("reshape"), "reshape")](Array x) { return reshape(std::move(x), shape); });
  if (args.flag("transpose")) steps.push_back([](const Array& x) { return transpose(x); });
  if (args.has("order"))
    steps.push_back([order = numbers(args.text("order"), "order")](const Array& x) { return transpose(x, order); });
  const auto select_on = [&](std::int64_t axis, const std::string& text, const std::string& option) {
    steps.push_back(
        [axis, chosen = Selection(text, "--" + option)](const Array& x) { return select(x, axis, chosen); });
  };
  for (const std::string name : {"heads", "rows", "queries", "columns", "keys"})
    if (args.has(name)) select_on(axis_named(name, name), args.text(name), name);
  for (const std::string& text : args.list("axis")) {
    const std::size_t equals = text.find('=');
    if (equals == std::string::npos) throw UsageError(cat("--axis '", text, "' is not N=SELECTION"));
    select_on(axis_named(text.substr(0, equals), "axis"), text.substr(equals + 1), "axis " + text);
  }
  for (const std::string& name : args.list("mean"))
    if (name != "records" && name != "positions")
      steps.push_back([axis = axis_named(name, "mean")](const Array& x) { return mean(x, axis); });
  if (args.flag("squeeze"))
    steps.push_back([](Array x) {
      std::erase(x.shape, 1);
      return x;
    });
  if (args.flag("merge")) steps.push_back([](const Array& x) { return merge_heads(x); });
  return steps;
}

void slice(const Args& args) {
  const auto steps = steps_of(args);
  bool records = false, positions = false;
  for (const std::string& name : args.list("mean")) {
    records = records || name == "records";
    positions = positions || name == "positions";
  }
  if (records && positions) throw UsageError("--mean records and --mean positions exclude each other");
  const Selection chosen(args.has("records") ? args.text("records") : "", "--records");
  expect_one_stdin(args, args.input(), {"join"});
  args.allow_only(!args.has("records"), "no --records, which chooses any of them", {"skip", "take"});
  const auto reader = part_of(args, RecordReader::open(args.input()));
  std::vector<std::unique_ptr<RecordReader>> others;
  for (const std::string& file : args.list("join")) others.push_back(part_of(args, RecordReader::open(file)));
  args.allow_only(!others.empty(), "--join", {"along"});
  const auto writer = RecordWriter::open(args.output(), args.output_options());
  std::vector<Array> all;
  std::vector<Array> parts(others.size() + 1);
  std::vector<NextRecord> streams{{reader.get(), &parts[0]}};
  for (std::size_t i = 0; i < others.size(); ++i) streams.push_back({others[i].get(), &parts[i + 1]});
  while (next_together(streams)) {
    if (!chosen.has(reader->count() - 1)) continue;
    Array x;
    try {
      x = others.empty() ? parts[0] : join(parts, axis_named(args.text("along"), "along"));
      for (const Step& step : steps) x = step(std::move(x));
      if (positions) {
        require(x.rank() > 0, "a number alone has no positions");
        const std::int64_t width = x.shape.back(), rows = width == 0 ? 0 : x.size() / width;
        x = reshape(std::move(x), {rows, width});
      }
    } catch (const std::exception& error) {
      throw Error(cat(reader->where(), ": ", error.what()));
    }
    if (records) x.shape.insert(x.shape.begin(), 1);
    if (records || positions)
      all.push_back(std::move(x));
    else
      writer->write(x);
  }
  require(chosen.largest() < reader->count(), reader->name(), ": no record ", chosen.largest(),
          ", the stream ended after ", reader->count());
  if (records || positions) {
    require(!all.empty(), reader->name(), ": no records to average");
    writer->write(mean(join(all, 0), 0));
  }
  writer->close();
}

}  // namespace

int main(int argc, char** argv) {
  return run_tool(spec, argc, argv, slice);
}
