#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <map>
#include <memory>

#include "cli/peek_reports.hpp"
#include "io/address.hpp"
#include "io/pnm.hpp"
#include "io/text_lines.hpp"
#include "text/tokenizer.hpp"
#include "view/curves.hpp"
#include "view/heatmap.hpp"
#include "view/labels.hpp"
#include "view/over_image.hpp"
#include "view/page.hpp"
#include "view/scatter.hpp"

namespace pipeformer {
namespace {

std::string given_text(const Args& args, const char* option) {
  return args.has(option) ? args.text(option) : std::string();
}

std::int64_t chosen_record(const Args& args) {
  return args.has("record") ? args.integer("record") : 0;
}

/// What --tokenizer calls ids; nothing without it.
PieceOf piece_of(const Args& args) {
  if (!args.has("tokenizer")) return {};
  std::shared_ptr<Tokenizer> tokenizer = Tokenizer::load(args.text("tokenizer"));
  return [tokenizer](std::int32_t id) { return tokenizer->has_piece(id) ? tokenizer->piece(id) : cat(id); };
}

/// A part of a file of intermediates, which its name and the ids beside it explain.
HeatmapPart tap_part(const Hdf5Listing& file, const std::string& name, std::int64_t record,
                     const std::map<std::string, std::vector<std::string>>& tokens) {
  const auto reader = file.open(name);
  HeatmapPart part{record_of(*reader, record)};
  const TapTitle title = tap_title(name);
  part.name = title.whole;
  part.layer = title.layer;
  part.where = reader->where();
  if (part.record.rank() < 2) return part;
  std::map<std::string, std::int64_t> lengths;
  for (const auto& [stack, pieces] : tokens) lengths[stack] = std::ssize(pieces);
  const TapAxes axes = tap_axes(name, part.record.shape, lengths);
  if (!axes.rows.empty()) part.row_tokens = tokens.at(axes.rows);
  if (!axes.columns.empty()) part.column_tokens = tokens.at(axes.columns);
  if (axes.row_name != "row") part.row_title = axes.row_name, part.column_title = axes.column_name;
  return part;
}

/// What is drawn of the input: a record, or of a file of intermediates all attention weights.
std::vector<HeatmapPart> heatmap_parts(const Args& args) {
  const std::string input = args.input();
  const std::int64_t record = chosen_record(args);
  const Address address = split_address(input);
  const auto file = list_hdf5(address.file);
  if (!file) {
    args.allow_only(false, "a file that --tap-file wrote, with ids", {"tokenizer"});
    const auto reader = RecordReader::open(input);
    HeatmapPart part{record_of(*reader, record)};
    part.where = reader->where();
    return {std::move(part)};
  }
  std::vector<std::string> names = file->paths();
  const std::string own = address.group.empty() ? "/" : address.group;
  if (std::find(names.begin(), names.end(), own) != names.end()) {
    names = {own};
  } else {
    const std::string below = address.group.empty() ? "" : address.group + "/";
    std::erase_if(names, [&](const std::string& name) {
      return !name.starts_with(below) || !(name == "weights" || name.ends_with("/weights"));
    });
    require(!names.empty(), input, ": holds no attention weights to draw; FILE.h5:NAME names another stream");
    std::sort(names.begin(), names.end(), natural_before);
  }
  const auto tokens = args.has("tokenizer") ? stack_tokens(*file, record, piece_of(args))
                                            : std::map<std::string, std::vector<std::string>>();
  std::vector<HeatmapPart> parts;
  for (const std::string& name : names) parts.push_back(tap_part(*file, name, record, tokens));
  const bool named = std::any_of(parts.begin(), parts.end(), [](const HeatmapPart& part) {
    return !part.row_tokens.empty() || !part.column_tokens.empty();
  });
  require(named || !args.has("tokenizer"), input, ": --tokenizer has nothing to name: ",
          tokens.empty() ? "there are no ids beside what is drawn"
                         : "there are not as many ids beside it as rows or columns");
  return parts;
}

HeatmapOptions heatmap_options(const Args& args) {
  HeatmapOptions options;
  options.title = given_text(args, "title");
  options.mean = args.flag("mean");
  options.numbers = args.flag("numbers");
  options.grey = args.flag("grey");
  if (args.has("low")) options.low = args.number("low");
  if (args.has("high")) options.high = args.number("high");
  return options;
}

/// --query and --grid.
OverImage over_image(const Args& args) {
  OverImage over;
  over.query = args.integer("query");
  if (!args.has("grid")) return over;
  const std::string grid = args.text("grid");
  const char *at = grid.data(), *end = at + grid.size();
  const auto down = std::from_chars(at, end, over.down);
  const bool crossed = down.ec == std::errc() && down.ptr != end && *down.ptr == 'x';
  const auto across = crossed ? std::from_chars(down.ptr + 1, end, over.across) : down;
  constexpr std::int64_t kMost = 65536;
  if (!crossed || across.ec != std::errc() || across.ptr != end || over.down < 1 || over.across < 1 ||
      over.down > kMost || over.across > kMost)
    throw UsageError(cat("--grid '", grid, "' is not ROWSxCOLUMNS, as in 14x14"));
  return over;
}

std::string drawn_over(const Args& args, const std::vector<HeatmapPart>& parts, const HeatmapOptions& options) {
  require(parts.size() == 1, args.input(), ": holds weights of ", parts.size(),
          " layers: FILE.h5:NAME says which to lay over the image");
  const auto images = open_images(args.text("over")).reader;
  Array image, next;
  // One image alone serves every record.
  for (std::int64_t i = 0; i <= chosen_record(args) && images->next(next); ++i) image = std::move(next);
  require(images->count() == 1 || images->count() > chosen_record(args), images->name(), ": has ", images->count(),
          " images, and none for record ", chosen_record(args));
  return draw_over_image(image, parts.front(), over_image(args), options);
}

}  // namespace

std::vector<Option> picture_options() {
  return {
      text("rows-title", "TEXT", "heat map: what the rows are, for example target"),
      text("columns-title", "TEXT", "heat map: what the columns are, for example source"),
      flag("mean", "heat map: the mean over the heads, not each of them"),
      flag("numbers", "heat map: write the values into the cells"),
      flag("grey", "heat map, curves: no colours, for print"),
      flag("text", "heat map: characters in the place of SVG, as on a terminal"),
      text("over", "IMAGE", "heat map: lay the weights of one query over the patches of this image"),
      integer("query", "N", "--over: which query; 0 is the class token, where there is one", "0", 0),
      text("grid", "ROWSxCOLUMNS", "--over: how the patches lie (default: a square)"),
      number("low", "X", "heat map: lower end of the colour scale (default: from the values)", "", -1e300, 1e300),
      number("high", "X", "heat map: upper end of the colour scale (default: from the values)", "", -1e300, 1e300),
      text("x", "NAME", "curves: the column of the horizontal axis (default: the first)"),
      text("y", "NAMES",
           "curves: the columns to draw in one picture, separated by commas (default: all others, a panel for each "
           "quantity)"),
      flag("log-x", "curves: logarithmic horizontal axis"),
      flag("log-y", "curves: logarithmic vertical axis"),
      text("y-title", "TEXT", "curves: what the vertical axis is"),
  };
}

void write_heatmap(const Args& args, OutputFile& out) {
  args.allow_only(args.has("over"), "--over", {"query", "grid"});
  args.allow_only(!args.has("over"), "a heat map without --over", {"text", "tokenizer"});
  std::vector<HeatmapPart> parts = heatmap_parts(args);
  const HeatmapOptions options = heatmap_options(args);
  for (HeatmapPart& part : parts) {
    if (args.has("rows-tokens")) part.row_tokens = read_tokens(args.text("rows-tokens"), chosen_record(args));
    if (args.has("columns-tokens")) part.column_tokens = read_tokens(args.text("columns-tokens"), chosen_record(args));
    if (args.has("rows-title")) part.row_title = args.text("rows-title");
    if (args.has("columns-title")) part.column_title = args.text("columns-title");
    if (parts.size() == 1 && !options.title.empty()) part.name.clear();
  }
  const bool terminal = args.output() == "-" && isatty(STDOUT_FILENO);
  if (args.has("over"))
    out.write(drawn_over(args, parts, options));
  else if (args.flag("text") || terminal)
    out.write(write_heatmap_text(parts, options));
  else
    out.write(draw_heatmap(parts, options));
  out.close();
}

void write_curves(const Args& args, OutputFile& out) {
  const auto curves = load_curves(args.input(), given_text(args, "x"), given_text(args, "y"));
  const CurveOptions options{given_text(args, "title"), given_text(args, "x"), given_text(args, "y-title"),
                             args.flag("log-x"),        args.flag("log-y"),    args.flag("grey")};
  out.write(args.has("y") ? draw_curves(curves, options) : draw_panels(curves, options));
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
  options.piece = piece_of(args);
  out.write(draw_page(inputs[0], options));
  out.close();
}

}  // namespace pipeformer
