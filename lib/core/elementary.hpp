/// e^x, ln x, x^y, sin and cos in double by one sequence of exactly rounded operations. Those of the C library differ
/// in their last bits from version to version and from processor to processor, and what they give decides about
/// results: the tables of positions, what is drawn at random, the loss. (IEEE 754 rounds sqrt, like + - * /, exactly:
/// std::sqrt.)
///
/// Accurate to about one unit in the last place of double; x^y to |y ln x| units.
#pragma once

namespace pipeformer::elementary {

double exp(double x);            ///< 0 below -745.2, infinity above 709.8; NaN of NaN.
double log(double x);            ///< -infinity of 0, NaN of what is negative.
double pow(double x, double y);  ///< x >= 0; 1 when y is 0.
double sin(double x);            ///< |x| below 2^27, in radians; NaN of what is larger.
double cos(double x);

}  // namespace pipeformer::elementary
