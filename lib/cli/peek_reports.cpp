#include "cli/peek_reports.hpp"

#include <unistd.h>

#include <string_view>

#include "io/text_lines.hpp"
#include "text/tokenizer.hpp"
#include "view/curves.hpp"
#include "view/difference.hpp"
#include "view/heatmap.hpp"
#include "view/page.hpp"
#include "view/scatter.hpp"
#include "view/top.hpp"

namespace pipeformer {
namespace {

std::string given_text(const Args& args, const char* option) {
  return args.has(option) ? args.text(option) : std::string();
}

}  // namespace

void write_values(const Args& args, const std::vector<std::string>& inputs, OutputFile& out) {
  ValuePrinter printer([&](const std::string& text) { out.write(text); },
                       args.has("digits") ? static_cast<int>(args.integer("digits")) : 0);
  for (const std::string& input : inputs) {
    for_records(args, RecordReader::open(input), [&](const RecordReader& in, const Array& record) {
      ValueLabels labels;
      if (args.has("rows-tokens")) labels.rows = read_tokens(args.text("rows-tokens"), in.count() - 1);
      if (args.has("columns-tokens")) labels.columns = read_tokens(args.text("columns-tokens"), in.count() - 1);
      printer.print(record, labels, in.where());
    });
  }
  out.close();
}

void write_heatmap(const Args& args, OutputFile& out) {
  const std::int64_t index = args.has("record") ? args.integer("record") : 0;
  HeatmapOptions options;
  options.mean = args.flag("mean");
  options.title = given_text(args, "title"), options.row_title = given_text(args, "rows-title"),
  options.column_title = given_text(args, "columns-title");
  if (args.has("rows-tokens")) options.row_tokens = read_tokens(args.text("rows-tokens"), index);
  if (args.has("columns-tokens")) options.column_tokens = read_tokens(args.text("columns-tokens"), index);
  if (args.has("low")) options.low = args.number("low");
  if (args.has("high")) options.high = args.number("high");
  const auto reader = RecordReader::open(args.input());
  Array record;
  while (reader->count() <= index) {
    require(reader->next(record), reader->name(), ": no record ", index, ", the stream ended after ", reader->count());
  }
  out.write(draw_heatmap(record, options, reader->where()));
  out.close();
}

void write_curves(const Args& args, OutputFile& out) {
  const auto curves = load_curves(args.input(), given_text(args, "x"), given_text(args, "y"));
  const CurveOptions options{given_text(args, "title"), given_text(args, "x"), given_text(args, "y-title"),
                             args.flag("log-x"), args.flag("log-y")};
  out.write(args.has("y") ? draw_curves(curves, options) : draw_panels(curves, options));
  out.close();
}

void write_tops(const Args& args, const std::vector<std::string>& inputs, OutputFile& out) {
  TopOptions options;
  options.count = args.integer("top");
  if (args.has("columns-names")) {
    if (args.has("columns-tokens")) throw UsageError("--columns-tokens and --columns-names exclude each other");
    TextLines lines(args.text("columns-names"));
    for (std::string_view line; lines.next(line);) options.columns.emplace_back(line);
  }
  for (const std::string& input : inputs)
    for_records(args, RecordReader::open(input), [&](const RecordReader& in, const Array& record) {
      const std::int64_t index = in.count() - 1;
      if (args.has("rows-tokens")) options.rows = read_tokens(args.text("rows-tokens"), index);
      if (args.has("columns-tokens")) options.columns = read_tokens(args.text("columns-tokens"), index);
      write_top(record, index, options, in.where(), [&](const std::string& text) { out.write(text); });
    });
  out.close();
}

void write_scatter(const Args& args, OutputFile& out) {
  const auto reader = RecordReader::open(args.input());
  std::vector<double> x, y;
  for_records(args, reader, [&](const RecordReader& in, const Array& record) {
    if (record.rank() < 1 || record.shape.back() < 2)
      throw Error(cat(in.where(), ": points need two columns, not shape ", shape_text(record.shape)));
    const Array wide = record.as(DType::f8);
    const auto values = wide.values<double>();
    for (std::size_t at = 0; at < values.size(); at += static_cast<std::size_t>(record.shape.back())) {
      x.push_back(values[at]);
      y.push_back(values[at + 1]);
    }
  });
  ScatterOptions options;
  options.titles.title = given_text(args, "title");
  if (args.has("labels")) {
    options.labels = read_text_lines(args.text("labels"));
    require(options.labels.size() == x.size(), args.text("labels"), ": has ", options.labels.size(), " lines for the ",
            x.size(), " points of ", reader->name());
  }
  require(!x.empty(), reader->name(), ": there is no point to draw");
  out.write(draw_scatter(x, y, options));
  out.close();
}

void write_page(const Args& args, const std::vector<std::string>& inputs, OutputFile& out) {
  if (inputs.size() != 1) throw UsageError("--html shows one file");
  PageOptions options;
  if (args.has("title")) options.title = args.text("title");
  if (args.has("record")) options.record = args.integer("record");
  std::unique_ptr<Tokenizer> tokenizer;
  if (args.has("tokenizer")) {
    tokenizer = Tokenizer::load(args.text("tokenizer"));
    options.piece = [&](std::int32_t id) { return tokenizer->has_piece(id) ? tokenizer->piece(id) : cat(id); };
  }
  out.write(draw_page(inputs[0], options));
  out.close();
}

void write_diff(const Args& args, const std::vector<std::string>& inputs, OutputFile& out) {
  if (inputs.size() != 2) throw UsageError("--diff compares two files");
  if (inputs[0] == "-" && inputs[1] == "-") throw UsageError("only one input can be standard input ('-')");
  bool same = false;
  try {
    const bool terminal = args.output() == "-" && isatty(STDOUT_FILENO);
    same = write_differences(
        inputs[0], inputs[1], args.number("tolerance"), [&](const std::string& text) { out.write(text); }, terminal);
    out.close();
  } catch (const Error& error) {
    throw ExitStatus{2, error.what()};
  }
  if (!same) throw ExitStatus{1};
}

}  // namespace pipeformer
