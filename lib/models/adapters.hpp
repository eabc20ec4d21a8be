/// Adapters of low rank (Hu et al. 2022, "LoRA", section 4.1): a weight W (out, in) that is not trained gets A (rank,
/// in) and B (out, rank) that are, and what computes is
///   W + scale * B A,        scale = alpha / rank.
/// B begins with zeros, so that nothing has changed before the first update. No layer knows of them: the sum is made
/// when a model is opened, and in training before each update; the gradients of A and B follow from that of the sum. A
/// model with adapters therefore gives the bits of the merged one.
///
/// In a model file they stand beside the weight ("encoder/0/self_attn/query/adapter_a", "adapter_b"); the scale is the
/// attribute adapter_scale of the model (pipeformer-formats(5)).
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "models/model_file.hpp"

namespace pipeformer {

/// What A (rank, in) and B (out, rank) do to a weight (out, in).
struct AdapterView {
  const float *a, *b;
  std::int64_t rank;
  float scale;
};
/// sum (out, in) = weight (out, in) + scale * B A; may be the weight itself.
void add_adapter(const AdapterView&, const float* weight, const MutableMatrixView& sum);

struct AdapterSettings {
  std::int64_t rank = 0;              ///< 0: no adapters.
  double alpha = 0;                   ///< 0: the rank, so that the scale is 1.
  std::vector<std::string> patterns;  ///< Of the weights; none: queries and values of attention, as in the paper.
  double scale() const { return alpha > 0 ? alpha / static_cast<double>(rank) : 1; }
};

/// The adapters of a model in training. They are parameters of its arena; the arena holds the sums in the place of the
/// weights, except while they are taken out.
class Adapters {
 public:
  Adapters() = default;
  /// weights: the parameters of the model. Throws Error for a pattern that matches no weight, and a rank that is not
  /// below both sides of one.
  Adapters(const AdapterSettings&, const std::vector<ParameterEntry>& weights);

  bool any() const { return !adapted_.empty(); }
  bool owns(const std::string& parameter) const;
  /// Of the adapters beside weights whose names begin so; 0: there are none.
  double scale_below(const std::string& before) const;
  /// Asks a source for the parameters of all.
  void build(ParameterSource&) const;
  /// From now on the arena's weights are those that the adapters stand beside.
  void hold(ParameterArena&);
  /// Puts the sums, of the present A and B, into the arena; and the weights again.
  void put_in(ParameterArena&) const;
  void take_out(ParameterArena&) const;
  /// The gradients of A and B, overwritten, from those of the sums.
  void backward(ParameterArena&) const;
  /// Marks the model in a group of a file into which the arena was written while they were taken out.
  void write_head(Hdf5File&, const std::string& group) const;

 private:
  struct Adapted {
    std::string name;  ///< Of the weight.
    std::int64_t out, in;
    Buffer<float> weight;
  };
  AdapterView view(const ParameterArena&, const Adapted&) const;
  std::vector<Adapted> adapted_;
  std::int64_t rank_ = 0;
  double scale_ = 1;
};

}  // namespace pipeformer
