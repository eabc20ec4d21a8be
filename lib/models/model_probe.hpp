/// The probe of a tool: changes what interventions say, then writes what is tapped: a tap shows what the next step
/// reads.
#pragma once
#include <optional>

#include "models/interventions.hpp"
#include "models/tap_writer.hpp"

namespace pipeformer {

class ModelProbe : public Probe {
 public:
  /// Both may be null.
  ModelProbe(const Interventions* changes, TapWriter* writer) : changes_(changes), writer_(writer) {}
  bool wants(Tap tap) const override {
    return tap.id >= 0 && ((writer_ && writer_->wants(tap)) || (changes_ && changes_->touch(tap)));
  }
  void rows(Tap tap, const TapRows& seen) const override {
    if (changes_ && changes_->touch(tap)) changes_->rows(tap, seen);
    if (writer_ && writer_->wants(tap)) writer_->rows(tap, seen);
  }
  void matrix(Tap tap, const TapMatrix& seen) const override {
    if (changes_ && changes_->touch(tap)) changes_->matrix(tap, seen);
    if (writer_ && writer_->wants(tap)) writer_->matrix(tap, seen);
  }
  void left_out(Tap of_layer, const Ragged& ragged, bool gradients) const override {
    if (writer_) writer_->left_out(of_layer, ragged, gradients);
  }
  void ids(Tap embeddings, const std::int32_t* ids, const Ragged& ragged) const override {
    if (writer_) writer_->ids(embeddings, ids, ragged);
  }

 private:
  const Interventions* changes_;
  TapWriter* writer_;
};

}  // namespace pipeformer
