#include "t/lib/engines_counts.h"

void check_counts(void)
{
}
