/// The classes of sequences, and how they are written.
#pragma once
#include <string>
#include <vector>

#include "io/batch_stream.hpp"
#include "models/model_file.hpp"
#include "models/transformer.hpp"

namespace pipeformer {

/// The names of classes; their numbers as text when they have none.
std::vector<std::string> names_or_numbers(std::vector<std::string> names, std::int64_t classes);
/// The names of a model's classes; their numbers as text when it has none. Throws Error when it has names for another
/// number of classes.
std::vector<std::string> class_names(const ModelFile&);

/// The probabilities, or the logits, (sequences, classes) of a batch of ids or vectors, in the workspace; a model of
/// regression has its values in the place of both. types: of the ids; null: all are 0. Throws Error naming the record
/// for vectors of another width, ids outside the vocabulary, sequences longer than the model's learned positions, and
/// vectors that make probabilities NaN.
const float* classify_batch(Context&, const Transformer&, const BatchStream&, const Batch* types, bool logits);

/// Which positions of a batch are tagged, and their logits or probabilities.
struct TaggedBatch {
  std::vector<std::int64_t> offsets{0};  ///< Of the rows below: sequence s has those from offsets[s] on.
  const float* rows = nullptr;           ///< (offsets.back(), classes), in the workspace.
  Ragged ragged() const { return {offsets}; }
  /// The likeliest class of each row, the first of equal ones.
  std::vector<std::int32_t> numbers(std::int64_t classes) const;
};
/// Tags a batch of ids or vectors: each position or, with word numbers beside ids (may be null), the first id of each
/// word; types as there. Throws as classify_batch, and RowError for a word without an id.
TaggedBatch tag_batch(Context&, const Transformer&, const BatchStream&, const Batch* types, const Batch* words,
                      bool logits);
/// A line for each sequence, the names with spaces between, or with tabs where a name holds a space.
std::string tag_lines(const Ragged&, const std::vector<std::int32_t>& numbers, const std::vector<std::string>& names);

/// One record (..., classes) for each record of `layout`, with its leading axes.
void write_classes(RecordWriter&, const Batch& layout, const float* probabilities, std::int64_t classes);

/// One line for each sequence: the name of the likeliest class; or the `top` likeliest ones, each with its probability,
/// separated by tabs. Of equals the first.
std::string class_lines(std::int64_t sequences, const float* probabilities, const std::vector<std::string>& names,
                        std::int64_t top);
/// One line for each sequence: the names whose probability is above the threshold, with spaces or tabs between.
std::string label_lines(std::int64_t sequences, const float* probabilities, const std::vector<std::string>& names,
                        double threshold);

}  // namespace pipeformer
