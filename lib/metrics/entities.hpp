/// Entities that labels of words spell out, as conlleval counts them (Tjong Kim Sang and Buchholz 2000).
#pragma once
#include <map>

#include "metrics/metric.hpp"

namespace pipeformer {

/// A run of words with one type.
struct Entity {
  std::size_t begin = 0, end = 0;  ///< The words from begin to before end.
  std::string_view type;
  bool operator==(const Entity&) const = default;
};

/// The entities of labels "O" or a letter, "-" and a type. One begins where the label before is O or of another type,
/// at B and S, and after E and S ([ and ] are as S): so IOB1, IOB2, IOE1, IOE2 and BIOES all say what they mean, and
/// labels that contradict each other say something too. Throws Error for other labels.
std::vector<Entity> entities(std::span<const std::string_view> labels);

/// Each line the labels of a sentence's words. An entity is right when its words and its type are. Micro average and
/// each type, and the share of labels that are right; the score is F1, in percent.
class Entities : public Metric {
 public:
  void add(std::span<const Segment> segments) override;
  double score() const override;
  std::string report() const override;

 private:
  struct Counts {
    std::int64_t right = 0, found = 0, wanted = 0;
    double precision() const { return 100.0 * ratio(static_cast<double>(right), static_cast<double>(found)); }
    double recall() const { return 100.0 * ratio(static_cast<double>(right), static_cast<double>(wanted)); }
    double f1() const { return f_score(precision(), recall()); }
  };
  Counts all() const;
  std::map<std::string, Counts, std::less<>> types_;
  std::int64_t labels_ = 0, right_labels_ = 0;
};

}  // namespace pipeformer
