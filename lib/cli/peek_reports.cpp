#include "cli/peek_reports.hpp"

#include <unistd.h>

#include <string_view>

#include "io/text_lines.hpp"
#include "view/difference.hpp"
#include "view/labels.hpp"
#include "view/top.hpp"

namespace pipeformer {

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
