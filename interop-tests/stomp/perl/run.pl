# `perl run.pl VERSION BEHAVIOUR URL`: one behaviour, shown by Net::Stomp in a protocol version, or it dies.
use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Client;

$| = 1;
my ($version, $behaviour, $url) = @ARGV;
my $show = do "$FindBin::Bin/behaviours/$behaviour.pl" or die $@ || $!;
alarm 60;
$show->(Client::broker($url, $version));
print "shown\n";
