// peek: looks at tensor files. Every picture and number in it comes from lib/view.
#include <unistd.h>

#include "cli/peek_reports.hpp"
#include "cli/tool.hpp"
#include "io/npz.hpp"
#include "io/output_file.hpp"
#include "view/report.hpp"

using namespace pipeformer;

static const ToolSpec spec = {
    .name = "peek",
    .summary = "shapes, statistics, values and pictures of tensors",
    .description =
        "Reads record streams (NPY or HDF5, any dtype, any shape) in one pass, holding one record at a time, and "
        "writes a table with one line for each record: dtype, shape, least and largest value, mean, standard "
        "deviation, and how many elements are zero, NaN and infinite. NaN is ignored by the other columns. The "
        "table is tab-separated; on a terminal it is aligned.\n\n"
        "An HDF5 file without a group is listed: its root attributes, then one line for each stream and each "
        "dataset in it. FILE:/ reads the stream at the root. The arrays of an NPZ archive are named.\n\n"
        "--values writes the elements themselves: a row of the last axis on each line, empty lines between "
        "matrices.\n\n"
        "--heatmap draws one record (..., rows, columns) as SVG, one picture for each matrix (H, Tq, Tk) of "
        "attention weights; on a terminal, and with --text, in characters. Of a file that --tap-file wrote it draws "
        "all attention weights, under the names of their layers and heads; FILE.h5:NAME is one stream of it, and "
        "--tokenizer writes pieces beside rows and columns. --numbers writes the values into the cells, --grey is "
        "for print. --over IMAGE lays the weights of one query over the patches of an image (PGM, PPM or an array).\n\n"
        "--curves draws the columns of a tab-separated table, for example of a training log: those that --y names "
        "in one picture, or a panel for each quantity (train_loss and valid_loss are one). A file that ends in .tsv "
        "is drawn so without the option.\n\n"
        "--scatter draws the first two columns of each row of the records (..., 2), for example of project, as "
        "points in a plane; --labels FILE writes beside each what its line says, where there is room.\n\n"
        "--html makes one page of a file that --tap-file wrote, for a browser: every layer and head of one record, "
        "with the numbers under the pointer and the tokens that a query attends to; it needs no network. "
        "--tokenizer (a tokenizer or a model) turns ids into pieces.\n\n"
        "--top K writes the K largest numbers of each row, a line for each: record, head (or - without heads), row, "
        "then columns and their values; --rows-tokens and --columns-tokens name them by the tokens on the record's "
        "line, --columns-names by a file with a line for each column (`tokenize --vocabulary | cut -f 2`).\n\n"
        "--diff A B compares two streams, or two HDF5 files (models, checkpoints, taps) or NPZ archives name by "
        "name: a line for each name that differs, with the number of elements, how many of them differ, the largest "
        "and the mean |a - b|, the largest |a - b| / max(|a|, |b|), and where the first is. Numbers are the same "
        "when they are within --tolerance times the larger of 1 and their size; integers are compared as such, and "
        "weights of 8 bits by what they stand for, codes times scales. The exit status is that of diff: 0 the same, "
        "1 different, 2 trouble.",
    .arguments = "[FILE...]",
    .options = join(
        {{
             flag("summary", "one line for a whole stream: records, range of shapes, positions, statistics"),
             flag("values", "write the elements as text"),
             flag("heatmap", "draw a record as SVG (the first one, unless --record says which)"),
             flag("curves", "draw columns of a tab-separated table with column names in its first line, as SVG"),
             flag("scatter", "draw rows as points in a plane, as SVG"),
             text("labels", "FILE", "scatter: the labels of the points, a line for each"),
             flag("html", "make a page of a file of intermediates, for a browser"),
             text("tokenizer", "FILE", "--html, --heatmap: its pieces name the ids that stand beside intermediates"),
             integer("top", "K", "write the K largest columns of each row", "", 1),
             flag("diff", "compare two files"),
             number("tolerance", "X", "--diff: numbers this close are the same", "0", 0, 1e300),
             flag("check", "fail when there are NaN or infinite elements, after writing the table"),
             integer("record", "N", "only this record, counted from 0", "", 0, 9007199254740992.0),
             integer("digits", "N", "significant digits (default: 6 in tables, as many as read back exactly in values)",
                     "", 1, 17),
             text("rows-tokens", "FILE",
                  "heat map, --top, --values: label the rows with the tokens on the record's line of this text file"),
             text("columns-tokens", "FILE", "heat map, --top, --values: label the columns likewise"),
             text("columns-names", "FILE", "--top: the names of the columns, a line for each"),
             text("title", "TEXT", "title of the picture"),
         },
         picture_options()}),
    .examples = {{"statistics of every record", "peek x.npy"},
                 {"what each query of each head attends to most",
                  "attend --heads 4 x.npy --give weights | peek --top 2"},
                 {"a page of all heads",
                  "encode -m model.h5 ids.npy --tap '*/weights' --tap-file taps.h5 -o y.npy && peek --html taps.h5 -o "
                  "page.html"},
                 {"all attention weights of a run, with numbers, in shades of grey",
                  "encode -m model.h5 ids.npy --tap '*/weights' --tap-file taps.h5 -o y.npy && peek --heatmap taps.h5 "
                  "--tokenizer model.h5 --numbers --grey -o heads.svg"},
                 {"vectors in the plane of their principal components",
                  "project table.npy | peek --scatter -o plane.svg"},
                 {"how two models differ", "peek --diff model.h5 model.h5"},
                 {"a picture of the second record", "peek --heatmap --record 1 x.npy -o second.svg"}},
    .see_also = {"attend", "mhattn", "model", "train"},
    .writes_records = false,
};

static void write_table(const Args& args, const std::vector<std::string>& inputs, OutputFile& out) {
  const TextSink sink = [&](const std::string& text) { out.write(text); };
  const bool terminal = args.output() == "-" && isatty(STDOUT_FILENO);
  StatisticsTable table(sink, terminal, args.has("digits") ? static_cast<int>(args.integer("digits")) : 6);
  std::optional<Error> unreadable;
  const auto summarize = [&](const std::unique_ptr<RecordReader>& reader) {
    for_records(args, reader,
                [&](const RecordReader& in, const Array& record) { table.add(record, stored_dtype(in, record)); });
    table.finish(reader->name());
  };
  for (const std::string& input : inputs) {
    const auto listing = args.has("record") ? std::nullopt : list_hdf5(input);
    if (listing) {
      sink(listing->head());
      for (const std::string& path : listing->paths()) {
        try {
          summarize(listing->open(path));
        } catch (const Error& error) {  // what can be listed is
          sink(cat("# ", error.what(), "\n"));
          table.drop();
        }
      }
      continue;
    }
    auto source = std::make_unique<ByteSource>(split_address(input).file);
    if (!args.has("record") && !args.flag("summary") && looks_like_npz(source->peek(8))) {
      const NpzFile archive(input_name(input), split_address(input), *source);
      const bool whole = split_address(input).group.empty();
      for (std::size_t i = 0; i < archive.names().size(); ++i) {
        try {
          const Array array = archive.named(i);
          table.record(whole ? cat(archive.name(), ":", archive.names()[i]) : archive.name(),
                       static_cast<std::int64_t>(i), array, dtype_name(array.dtype));
        } catch (const Error& error) {  // the others are shown all the same
          if (!unreadable) unreadable = error;
        }
      }
    } else if (args.flag("summary")) {
      summarize(RecordReader::open(input, std::move(source)));
    } else {
      for_records(args, RecordReader::open(input, std::move(source)), [&](const RecordReader& in, const Array& record) {
        table.record(in.name(), in.count() - 1, record, stored_dtype(in, record));
      });
    }
  }
  out.close();
  if (unreadable) throw Error(*unreadable);
  const Statistics& all = table.total();
  require(!args.flag("check") || all.finite(), inputs.front(), inputs.size() > 1 ? " and others" : "", ": ", all.nan,
          " NaN and ", all.infinite, " infinite elements");
}

int main(int argc, char** argv) {
  return run_tool(spec, argc, argv, [](const Args& args) {
    const int pictures = args.flag("heatmap") + args.flag("curves") + args.flag("scatter");
    const int modes =
        args.flag("summary") + args.flag("values") + args.flag("diff") + args.has("top") + args.flag("html") + pictures;
    if (modes > 1)
      throw UsageError(
          "--summary, --values, --top, --diff, --html, --heatmap, --curves and --scatter exclude each other");
    args.allow_only(args.flag("html") || args.flag("heatmap"), "--html or --heatmap", {"tokenizer"});
    args.allow_only(args.flag("diff"), "--diff", {"tolerance"});
    args.allow_only(args.flag("scatter"), "--scatter", {"labels"});
    args.allow_only(args.has("top"), "--top", {"columns-names"});
    args.allow_only(args.flag("heatmap") || args.has("top") || args.flag("values"), "--heatmap, --top or --values",
                    {"rows-tokens", "columns-tokens"});
    args.allow_only(args.flag("heatmap"), "--heatmap",
                    {"rows-title", "columns-title", "mean", "numbers", "text", "over", "query", "grid", "low", "high"});
    auto inputs = args.inputs();
    const bool curves = args.flag("curves") || (modes == 0 && inputs.size() == 1 && inputs[0].ends_with(".tsv"));
    args.allow_only(curves || args.flag("heatmap"), "--heatmap or --curves", {"grey"});
    args.allow_only(curves, "--curves", {"x", "y", "log-x", "log-y", "y-title"});
    args.allow_only(pictures > 0 || curves || args.flag("html"), "a picture: --heatmap, --curves, --scatter or --html",
                    {"title"});
    if (inputs.size() > 1 && pictures > 0)
      throw UsageError(cat("unexpected argument '", inputs[1], "': a picture shows one file"));
    if (inputs.empty()) inputs = {args.input()};
    OutputFile out(args.output(), Content::text);
    if (args.flag("diff")) return write_diff(args, inputs, out);
    if (args.flag("html")) return write_page(args, inputs, out);
    if (args.flag("scatter")) return write_scatter(args, out);
    if (curves) return write_curves(args, out);
    if (args.flag("heatmap")) return write_heatmap(args, out);
    if (args.has("top")) return write_tops(args, inputs, out);
    if (args.flag("values")) return write_values(args, inputs, out);
    write_table(args, inputs, out);
  });
}
