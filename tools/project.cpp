// project: principal components of vectors, and their coordinates.
#include <algorithm>
#include <limits>
#include <optional>

#include "cli/layer_options.hpp"
#include "io/address.hpp"
#include "io/hdf5.hpp"
#include "io/vector_rows.hpp"
#include "ops/principal_components.hpp"

using namespace pipeformer;

namespace {

const ToolSpec spec{
    .name = "project",
    .summary = "principal components: the directions in which vectors differ most, and coordinates along them",
    .description =
        "Finds the k directions along which the vectors of the input vary most (principal component analysis: the "
        "eigenvectors of their covariance, each of length 1, its largest entry positive) and writes each vector's "
        "coordinates along them, what is left of it after the mean is taken off; all are float32. The input is held in "
        "memory; time "
        "grows with the third power of D.\n\n"
        "--components FILE.h5 keeps what was found: mean (D,), components (k, D), explained_variance (k,), of the "
        "coordinates, over N - 1, and explained_variance_ratio (k,), its share of the whole. --onto FILE.h5 finds "
        "nothing: it takes these, so that other vectors get coordinates in the same picture, and reads a stream of any "
        "length. Results are the same bits on every processor.\n\n"
        "Shapes: vectors (..., D) -> coordinates (..., k).",
    .options = join({{with_letter('k', integer("k", "K", "how many components (default: 2, or all of --onto)", "", 1)),
                      text("components", "FILE.h5[:GROUP]", "write mean, components and variances"),
                      text("onto", "FILE.h5[:GROUP]", "take mean and components from there")},
                     part_options()}),
    .examples = {{"a hundred vectors in a plane", "project table.npy -o plane.npy && peek plane.npy"},
                 {"other sentences in the same plane",
                  "encode -m model.h5 text.en.npy --pool mean | project --components plane.h5 -o a.npy &&\n"
                  "  encode -m model.h5 ids.npy --pool mean | project --onto plane.h5 -o b.npy"}},
    .see_also = {"nearest", "peek", "slice"},
};

constexpr std::int64_t batch_rows = 4096;  // of --onto, that are read together

void write_components(const std::string& address, const PrincipalComponents& found) {
  const Address parts = split_address(address);
  const std::string group = parts.group.empty() ? "" : parts.group + "/";
  Hdf5File file = Hdf5File::create(parts.file, parts.group);
  file.write(group + "mean", DType::f4, {found.width}, found.mean.data());
  file.write(group + "components", DType::f4, {found.count, found.width}, found.components.data());
  file.write(group + "explained_variance", DType::f8, {found.count}, found.explained_variance.data());
  file.write(group + "explained_variance_ratio", DType::f8, {found.count}, found.explained_variance_ratio.data());
  file.close();
}

PrincipalComponents read_components(const std::string& address) {
  const std::string group = address + (split_address(address).group.empty() ? ":" : "/");
  const Array mean = read_single(group + "mean").as(DType::f4);
  const Array components = read_single(group + "components").as(DType::f4);
  require(mean.rank() == 1 && components.rank() == 2 && components.shape[1] == mean.shape[0], address, ": mean ",
          shape_text(mean.shape), " and components ", shape_text(components.shape), " are not (D,) and (k, D)");
  const auto m = mean.values<float>(), c = components.values<float>();
  return {components.shape[0], mean.shape[0], {m.begin(), m.end()}, {c.begin(), c.end()}, {}, {}};
}

void write_coordinates(const std::string& name, RecordWriter& writer, const VectorRows& x,
                       const PrincipalComponents& components, std::int64_t count) {
  std::vector<float> y(static_cast<std::size_t>(x.rows() * count));
  project_rows({x.values.data(), x.rows(), x.width}, components, count, y.data());
  const float* at = y.data();
  std::int64_t record = x.first_record;
  for (Shape shape : x.shapes) {
    shape.back() = count;
    require(all_finite(at, element_count(shape)), name, ": record ", record,
            ": its coordinates are larger than float32 holds");
    writer.write(DType::f4, shape, at);
    at += element_count(shape);
    ++record;
  }
  writer.flush();
}

void project_onto(const Args& args, RecordReader& reader, RecordWriter& writer) {
  const std::string file = args.text("onto");
  const PrincipalComponents components = read_components(file);
  const std::int64_t k = args.has("k") ? args.integer("k") : components.count;
  require(k <= components.count, file, ": has ", components.count, " components, not ", k, " (-k)");
  for (VectorRows x; read_vector_rows(reader, x, batch_rows);) {
    require(x.width == components.width, reader.name(), ": record ", x.first_record, ": width ", x.width,
            " does not match the ", components.width, " of ", file);
    write_coordinates(reader.name(), writer, x, components, k);
  }
}

void project_own(const Args& args, RecordReader& reader, RecordWriter& writer) {
  const std::int64_t k = args.has("k") ? args.integer("k") : 2;
  VectorRows x, rest;
  const auto all = std::numeric_limits<std::int64_t>::max();
  require(read_vector_rows(reader, x, all), reader.name(), ": holds no vectors to find components of");
  read_vector_rows(reader, rest, 1);  // throws where the stream ended in a failure
  const std::int64_t most = std::max<std::int64_t>(std::min(x.rows() - 1, x.width), 0);
  require(k <= most, reader.name(), ": ", x.rows(), " vectors of width ", x.width, " have at most ", most,
          " components, not ", k, " (-k)");
  const PrincipalComponents components = principal_components({x.values.data(), x.rows(), x.width}, k);
  if (const auto file = optional_text(args, "components")) write_components(*file, components);
  write_coordinates(reader.name(), writer, x, components, k);
}

void project(const Args& args) {
  if (args.has("onto") && args.has("components")) throw UsageError("--onto and --components exclude each other");
  const auto reader = part_of(args, RecordReader::open(args.input()));
  const auto writer = RecordWriter::open(args.output(), args.output_options());
  args.has("onto") ? project_onto(args, *reader, *writer) : project_own(args, *reader, *writer);
  writer->close();
}

}  // namespace

int main(int argc, char** argv) {
  return run_tool(spec, argc, argv, project);
}
