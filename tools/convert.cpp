// convert: copies a record stream from one container to another (NPY, HDF5), and between ragged and dense.
#include <algorithm>
#include <limits>

#include "cli/tool.hpp"
#include "io/npz.hpp"
#include "io/number_text.hpp"
#include "io/stack.hpp"
#include "io/stream.hpp"
#include "view/report.hpp"

using namespace pipeformer;

static const ToolSpec spec = {
    .name = "convert",
    .summary = "copy tensors between NPY streams, NPZ archives and HDF5 files, ragged or dense",
    .description =
        "Reads records of any shape and dtype and writes the same records. The input format is found from the first "
        "bytes; the output format follows the suffix of -o (.npy, .npz, .h5, .hdf5) or --format, and is NPY on "
        "standard "
        "output.\n\n"
        "In HDF5 a stream is a group with 'data' (rows of all records, one after another) and 'offsets' (record i is "
        "rows offsets[i] to offsets[i + 1]); FILE.h5:GROUP names a group, FILE.h5:NAME a dataset, which is one record. "
        "HDF5 on a pipe is held in memory whole.\n\n"
        "An NPZ archive is a stream of its arrays; FILE.npz:NAME is one of them, and the records of a stream become "
        "arr_0, "
        "arr_1, ... there. Names are kept where both sides have them, also of FILE.npz:NAME: of an archive an HDF5 "
        "file "
        "gets a dataset for each array, and an archive an array; of an HDF5 file with several streams or datasets an "
        "archive gets an array for each dataset, by its "
        "path "
        "('GROUP/data' and 'GROUP/offsets' of a stream); attributes have no place there. --compress deflates the "
        "arrays.\n\n"
        "--text reads numbers as text, of the type that it names: each line is a record (N,), or with --matrices the "
        "lines up to an empty one a record (rows, N). `peek --values` is the way back.\n\n"
        "Shapes: N records (...) -> N records (...); with --stack N records (...) -> one record (N, ...); with "
        "--unstack one record (N, ...) -> N records (...); --skip and --take choose some of those that are written.",
    .options = {flag("stack", "make one dense record of all records, which must have one shape"),
                flag("unstack", "make a record of each element of the leading axis"),
                choice("text", "f4|f8|i4|i8", "read text: numbers of this type, separated by spaces, tabs or commas"),
                flag("matrices", "--text: rows up to an empty line are one record"),
                flag("compress", "NPZ: deflate what is written"),
                integer("skip", "N", "leave out the first N records (unstacked ones, with --unstack)", "0", 0, 1e15),
                integer("take", "N", "write N records at most", "", 0, 1e15)},
    .examples = {{"keep a stream in an HDF5 file, below the group 'train/memory'",
                  "convert vectors.npy -o vectors.h5:train/memory"},
                 {"all parameters of a model for numpy.load", "convert model.h5 -o model.npz"},
                 {"numbers that were typed", "echo 0.5 -2 1e-3 | convert --text f4 -o typed.npy"},
                 {"make ragged records of a dense array, in half the space",
                  "convert dense.npy --unstack --dtype f2 > ragged.npy"}},
    .see_also = {"peek", "tokenize"},
};

/// The datasets of an HDF5 file that holds more than one stream: of a stream those that it consists of.
static std::vector<std::string> datasets_of(const Hdf5Listing& listing, const Hdf5File& file) {
  std::vector<std::string> names;
  const auto add = [&](const std::string& name) {
    if (file.has_dataset(name) && std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
  };
  for (const std::string& path : listing.paths()) {
    add(path);
    for (const char* part : {"data", "offsets", "shapes"})
      if (!file.has_dataset(path)) add(path == "/" ? part : path + "/" + part);
  }
  return names;
}

/// From an NPZ archive, or an HDF5 file of several streams to one: all arrays by their names. False for other inputs.
static bool convert_named(const Args& args, ByteSource& source, const OutputOptions& options,
                          const std::string& format) {
  const std::string input = args.input();
  const auto take =
      args.has("take") ? static_cast<std::size_t>(args.integer("take")) : std::numeric_limits<std::size_t>::max();
  if (format == "npy") return false;
  if (looks_like_npz(source.peek(8))) {
    NpzFile archive(input_name(input), split_address(input), source);
    archive.keep(static_cast<std::size_t>(args.integer("skip")), take);
    format == "npz" ? npz_to_npz(archive, args.output(), options) : npz_to_hdf5(archive, args.output(), options);
    return true;
  }
  const auto listing = format == "npz" && !args.given("skip") && !args.has("take") ? list_hdf5(input) : std::nullopt;
  if (!listing) return false;
  if (!listing->remarks().empty()) throw Error(cat("not all of it can be converted: ", listing->remarks().front()));
  hdf5_to_npz(input, datasets_of(*listing, Hdf5File::open(input)), args.output(), options);
  return true;
}

static void convert(const Args& args) {
  if (args.flag("stack") && args.flag("unstack")) throw UsageError("--stack and --unstack exclude each other");
  args.allow_only(!args.flag("stack"), "records one by one: no --stack", {"skip", "take"});
  args.allow_only(args.has("text"), "--text", {"matrices"});
  args.allow_only(!args.has("text"), "records: no --text", {"stack", "unstack"});
  OutputOptions options = args.output_options();
  const std::string format = output_format(args.output(), options);
  options.deflate = args.flag("compress");
  args.allow_only(format == "npz", "NPZ output", {"compress"});
  std::optional<TextLines> lines;
  std::unique_ptr<RecordReader> reader;
  if (args.has("text")) {
    lines.emplace(args.input());
  } else {
    auto source = std::make_unique<ByteSource>(split_address(args.input()).file);
    const bool as_they_are = !args.flag("stack") && !args.flag("unstack");
    if (as_they_are && convert_named(args, *source, options, format)) return;
    reader = RecordReader::open(args.input(), std::move(source));
  }
  auto writer = RecordWriter::open(args.output(), options);
  if (args.given("skip") || args.has("take"))
    writer = slice_of(std::move(writer), args.integer("skip"),
                      args.has("take") ? args.integer("take") : std::numeric_limits<std::int64_t>::max());
  if (lines) {
    const DType type = dtype_from_name(args.text("text"));
    while (const auto numbers = read_numbers(*lines, type, args.flag("matrices"))) writer->write(*numbers);
  } else if (args.flag("stack")) {
    writer->write(stack_records(*reader));
  } else {
    Array record;
    while (reader->next(record)) {
      if (args.flag("unstack")) {
        write_unstacked(*writer, record, reader->where());
      } else {
        writer->write(record);
      }
    }
  }
  writer->close();
}

int main(int argc, char** argv) {
  return run_tool(spec, argc, argv, convert);
}
