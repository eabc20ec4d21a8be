/// Taps: the names of intermediates, made while layers are built (law 5). A layer asks the source of its parameters for
/// one tap for each intermediate, by the name of its parameters ("encoder/0/self_attn" and "query") and its shape; what
/// is computed is shown to the context's probe under the tap's number. Who looks at nothing gives the source no list:
/// then no name is made, and no tap has a number.
#pragma once
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace pipeformer {

struct Tap {
  std::int32_t id = -1;        ///< Its place in the list; -1: nobody looks.
  std::int32_t gradient = -1;  ///< The place of its gradient, in training.
};

/// What is there for one sequence.
struct TapShape {
  enum class Rows {
    own,       ///< One for each position of the stack's own sequence (T).
    memory,    ///< One for each position of what cross-attention attends to (S).
    sequence,  ///< One for the whole sequence.
  };
  std::int64_t width = 0;  ///< Columns of a row; 0 for a matrix, which has the keys.
  std::int64_t heads = 0;  ///< A row is so many heads side by side, or so many matrices (heads, Tq, Tk); 0: no heads.
  Rows rows = Rows::own;   ///< Of a matrix: the keys.
  bool matrix() const { return width == 0; }
  /// Columns of one head, or of all where there are none.
  std::int64_t head_width() const { return heads > 0 ? width / heads : width; }
};

struct TapEntry {
  std::string name;
  TapShape shape;
};
using TapList = std::vector<TapEntry>;

/// "(T, 32)", "(4, T, S)": T positions, S those of a memory.
std::string shape_text(const TapShape&);

class Unlisted;

/// What a source of parameters is besides: where layers get their taps.
class TapSource {
 public:
  /// Layers that are built from now on put their intermediates into a list, which may be null, or find them there; with
  /// their gradients, "gradient/NAME", in training.
  void list_taps(TapList* list, bool gradients = false) {
    taps_ = list;
    gradients_ = gradients;
  }
  /// As another source does, with names that begin with `before`.
  void list_taps_below(const TapSource& other, std::string before) {
    list_taps(other.taps_, other.gradients_);
    before_ = std::move(before);
  }
  /// An intermediate of a layer (no name: `part` is all). Whether its backward pass shows the gradient too.
  Tap tap(const std::string& layer, const char* part, const TapShape& shape, bool has_gradient = true) {
    return taps_ ? listed({before_ + (layer.empty() ? part : layer + "/" + part), shape}, has_gradient) : Tap{};
  }

 private:
  friend class Unlisted;
  Tap listed(const TapEntry& entry, bool has_gradient);
  std::int32_t place(const TapEntry& entry);
  TapList* taps_ = nullptr;
  bool gradients_ = false;
  std::string before_;
};

/// While it lives, layers that are built from a source get no taps: those of what a run does not compute.
class Unlisted {
 public:
  explicit Unlisted(TapSource& source) : source_(source), taps_(std::exchange(source.taps_, nullptr)) {}
  ~Unlisted() { source_.taps_ = taps_; }
  Unlisted(const Unlisted&) = delete;
  Unlisted& operator=(const Unlisted&) = delete;

 private:
  TapSource& source_;
  TapList* taps_;
};

}  // namespace pipeformer
