/// What peek writes about the records of its inputs, beside its tables.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "cli/tool.hpp"
#include "core/error.hpp"
#include "io/output_file.hpp"

namespace pipeformer {

/// Calls body(reader, record) for each record of a stream, or for the one that --record picks.
template <class Body>
void for_records(const Args& args, const std::unique_ptr<RecordReader>& reader, Body body) {
  Array record;
  while (reader->next(record)) {
    if (!args.has("record")) {
      body(*reader, record);
    } else if (reader->count() == args.integer("record") + 1) {
      return body(*reader, record);
    }
  }
  if (!args.has("record")) return;
  throw Error(cat(reader->name(), ": no record ", args.text("record"), ", the stream ended after ", reader->count()));
}

/// Options of --heatmap and --curves.
std::vector<Option> picture_options();

/// --values: the elements as text.
void write_values(const Args&, const std::vector<std::string>& inputs, OutputFile& out);

/// --heatmap: a record, or all attention weights of a file of intermediates, as pictures of matrices.
void write_heatmap(const Args&, OutputFile& out);

/// --curves: the columns of a table.
void write_curves(const Args&, OutputFile& out);

/// --top K: the largest columns of each row.
void write_tops(const Args&, const std::vector<std::string>& inputs, OutputFile& out);

/// --scatter: the rows of the records as points.
void write_scatter(const Args&, OutputFile& out);

/// --html: a page of one record of a file of taps.
void write_page(const Args&, const std::vector<std::string>& inputs, OutputFile& out);

/// --diff A B. Throws ExitStatus: 1 when they differ, 2 for what else is an error.
void write_diff(const Args&, const std::vector<std::string>& inputs, OutputFile& out);

}  // namespace pipeformer
