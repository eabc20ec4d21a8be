#include "metrics/porter_stemmer.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <utility>

namespace pipeformer {
namespace {

using Text = std::string_view;

/// Whether letter i is a consonant: not a, e, i, o, u, nor a y after a consonant.
bool consonant(Text word, std::size_t i) {
  switch (word[i]) {
    case 'a':
    case 'e':
    case 'i':
    case 'o':
    case 'u':
      return false;
    case 'y':
      return i == 0 || !consonant(word, i - 1);
    default:
      return true;
  }
}

/// The paper's m: how many times vowels are followed by consonants.
int measure(Text word) {
  int m = 0;
  for (std::size_t i = 1; i < word.size(); ++i) m += consonant(word, i) && !consonant(word, i - 1);
  return m;
}
bool positive(Text stem) {
  return measure(stem) > 0;
}
bool above_one(Text stem) {
  return measure(stem) > 1;
}
bool has_vowel(Text word) {
  for (std::size_t i = 0; i < word.size(); ++i)
    if (!consonant(word, i)) return true;
  return false;
}
bool ends_double(Text word) {
  const std::size_t n = word.size();
  return n >= 2 && word[n - 1] == word[n - 2] && consonant(word, n - 1);
}
/// The paper's *o: consonant, vowel, consonant other than w, x, y; or a word of a vowel and a consonant.
bool ends_short(Text word) {
  const std::size_t n = word.size();
  if (n == 2) return !consonant(word, 0) && consonant(word, 1);
  return n >= 3 && consonant(word, n - 3) && !consonant(word, n - 2) && consonant(word, n - 1) && word[n - 1] != 'w' &&
         word[n - 1] != 'x' && word[n - 1] != 'y';
}

/// The ending, what takes its place, and what the stem before it must fulfil.
struct Rule {
  Text ending, instead;
  bool (*condition)(Text stem);
};

/// The first rule whose ending fits decides, whether or not its condition holds.
void apply_first(std::string& word, std::span<const Rule> rules) {
  for (const Rule& rule : rules) {
    if (!word.ends_with(rule.ending)) continue;
    const std::size_t length = word.size() - rule.ending.size();
    if (rule.condition(Text(word).substr(0, length))) word.replace(length, std::string::npos, rule.instead);
    return;
  }
}

bool always(Text) {
  return true;
}

constexpr std::array plurals{Rule{"sses", "ss", always}, Rule{"ies", "i", always}, Rule{"ss", "ss", always},
                             Rule{"s", "", always}};

constexpr std::array double_suffixes{
    Rule{"ational", "ate", positive}, Rule{"tional", "tion", positive}, Rule{"enci", "ence", positive},
    Rule{"anci", "ance", positive},   Rule{"izer", "ize", positive},    Rule{"bli", "ble", positive},
    Rule{"alli", "al", positive},     Rule{"entli", "ent", positive},   Rule{"eli", "e", positive},
    Rule{"ousli", "ous", positive},   Rule{"ization", "ize", positive}, Rule{"ation", "ate", positive},
    Rule{"ator", "ate", positive},    Rule{"alism", "al", positive},    Rule{"iveness", "ive", positive},
    Rule{"fulness", "ful", positive}, Rule{"ousness", "ous", positive}, Rule{"aliti", "al", positive},
    Rule{"iviti", "ive", positive},   Rule{"biliti", "ble", positive},  Rule{"fulli", "ful", positive}};

constexpr std::array more_suffixes{Rule{"icate", "ic", positive}, Rule{"ative", "", positive},
                                   Rule{"alize", "al", positive}, Rule{"iciti", "ic", positive},
                                   Rule{"ical", "ic", positive},  Rule{"ful", "", positive},
                                   Rule{"ness", "", positive}};

bool long_after_s_or_t(Text stem) {
  return above_one(stem) && (stem.back() == 's' || stem.back() == 't');
}
constexpr std::array last_suffixes{
    Rule{"al", "", above_one},   Rule{"ance", "", above_one}, Rule{"ence", "", above_one},
    Rule{"er", "", above_one},   Rule{"ic", "", above_one},   Rule{"able", "", above_one},
    Rule{"ible", "", above_one}, Rule{"ant", "", above_one},  Rule{"ement", "", above_one},
    Rule{"ment", "", above_one}, Rule{"ent", "", above_one},  Rule{"ion", "", long_after_s_or_t},
    Rule{"ou", "", above_one},   Rule{"ism", "", above_one},  Rule{"ate", "", above_one},
    Rule{"iti", "", above_one},  Rule{"ous", "", above_one},  Rule{"ive", "", above_one},
    Rule{"ize", "", above_one}};

/// Step 1b: -eed, -ed, -ing.
void past_and_participle(std::string& word) {
  const Text all = word;
  if (all.ends_with("ied")) {
    word.resize(word.size() - (word.size() == 4 ? 1 : 2));
    return;
  }
  if (all.ends_with("eed")) {
    if (positive(all.substr(0, all.size() - 3))) word.pop_back();
    return;
  }
  const std::size_t ending = all.ends_with("ed") ? 2 : all.ends_with("ing") ? 3 : 0;
  if (ending == 0 || !has_vowel(all.substr(0, all.size() - ending))) return;
  word.resize(word.size() - ending);
  const bool lost_its_e = word.ends_with("at") || word.ends_with("bl") || word.ends_with("iz");
  if (lost_its_e || (!ends_double(word) && measure(word) == 1 && ends_short(word))) {
    word += 'e';
  } else if (ends_double(word)) {
    if (word.back() != 'l' && word.back() != 's' && word.back() != 'z') word.pop_back();
  }
}

/// Step 2. An ending -ally is taken off twice: "fundamentally", "operationally".
void suffixes_of_two(std::string& word) {
  while (word.ends_with("alli") && positive(Text(word).substr(0, word.size() - 4))) word.resize(word.size() - 2);
  if (word.ends_with("logi")) {
    if (positive(Text(word).substr(0, word.size() - 3))) word.pop_back();
    return;
  }
  apply_first(word, double_suffixes);
}

constexpr std::array<std::pair<Text, Text>, 16> irregular{{{"sky", "sky"},
                                                           {"skies", "sky"},
                                                           {"dying", "die"},
                                                           {"lying", "lie"},
                                                           {"tying", "tie"},
                                                           {"news", "news"},
                                                           {"innings", "inning"},
                                                           {"inning", "inning"},
                                                           {"outings", "outing"},
                                                           {"outing", "outing"},
                                                           {"cannings", "canning"},
                                                           {"canning", "canning"},
                                                           {"howe", "howe"},
                                                           {"proceed", "proceed"},
                                                           {"exceed", "exceed"},
                                                           {"succeed", "succeed"}}};

}  // namespace

std::string porter_stem(std::string_view word) {
  for (const auto& [form, stem] : irregular)
    if (form == word) return std::string(stem);
  std::string stem(word);
  if (word.size() <= 2) return stem;
  if (word.size() == 4 && word.ends_with("ies")) {
    stem.pop_back();
  } else {
    apply_first(stem, plurals);
  }
  past_and_participle(stem);
  if (stem.size() > 2 && stem.back() == 'y' && consonant(stem, stem.size() - 2)) stem.back() = 'i';
  suffixes_of_two(stem);
  apply_first(stem, more_suffixes);
  apply_first(stem, last_suffixes);
  if (stem.ends_with('e')) {
    const Text before = Text(stem).substr(0, stem.size() - 1);
    if (measure(before) > 1 || (measure(before) == 1 && !ends_short(before))) stem.pop_back();
  }
  if (stem.ends_with("ll") && measure(Text(stem).substr(0, stem.size() - 1)) > 1) stem.pop_back();
  return stem;
}

}  // namespace pipeformer
