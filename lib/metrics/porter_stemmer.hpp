/// The Porter stemmer (Porter 1980, "An algorithm for suffix stripping") with the extensions of NLTK, which ROUGE uses:
/// some irregular words as they are, "flies" but "die" -> "die", y -> i after consonants only, -fulli, -logi, -bli.
#pragma once
#include <string>
#include <string_view>

namespace pipeformer {

/// The stem of a word of small ASCII letters and digits.
std::string porter_stem(std::string_view word);

}  // namespace pipeformer
