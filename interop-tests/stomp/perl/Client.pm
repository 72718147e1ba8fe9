# What each behaviour begins with: Net::Stomp, whose frames are what they are in any version.
package Client;
use strict;
use warnings;
use Net::Stomp;

my $WAIT_S = 20;
my $number = 0;

# A name nobody used.
sub fresh { return sprintf '%s-%08x-%d-%d', $_[0], rand 0xffffffff, $$, $number++ }

sub is_equal {
    my ($expected, $got) = map { ref $_ ? join "\n", @$_ : $_ } @_;
    die "expected '$expected', got '$got'" if $expected ne $got;
    return;
}

# Asks whoever runs this to restart the broker; returns once it accepts connections again.
sub restart_broker {
    print "restart\n";
    is_equal("restarted\n", scalar <STDIN>);
    return;
}

sub broker {
    my ($url, $version) = @_;
    my ($login, $passcode, $host, $port) = $url =~ m{^stomp://(.*?):(.*?)@(.*?):(\d+)$} or die "no address: $url";
    return { login => $login, passcode => $passcode, host => $host, port => $port, version => $version };
}

# One connection; dies if there is no CONNECTED.
sub open_client {
    my ($broker, %headers) = @_;
    my $stomp = Net::Stomp->new({
        hostname => $broker->{host}, port => $broker->{port}, reconnect_attempts => 1, timeout => $WAIT_S,
    });
    my $frame = $stomp->connect({
        login => $broker->{login}, passcode => $broker->{passcode}, host => '/',
        'accept-version' => $broker->{version}, %headers,
    });
    die 'refused: ' . ($frame ? $frame->as_string : 'nothing') unless $frame && $frame->command eq 'CONNECTED';
    return bless { stomp => $stomp, connected => $frame, messages => [] }, __PACKAGE__;
}

sub stomp { return $_[0]{stomp} }

sub publish {
    my ($self, $destination, $body, %headers) = @_;
    $self->stomp->send({ destination => $destination, body => $body, 'content-length' => length $body, %headers });
    return;
}

# Returns once the broker has it.
sub publish_surely {
    my ($self, $destination, $body, %headers) = @_;
    my $receipt = fresh('receipt');
    $self->publish($destination, $body, receipt => $receipt, %headers);
    return $self->wait_receipt($receipt);
}

# Returns once the broker has done it; gives the subscription's id.
sub subscribe {
    my ($self, $destination, %headers) = @_;
    my ($id, $receipt) = ($headers{id} // fresh('subscription'), fresh('receipt'));
    $self->stomp->subscribe({ destination => $destination, id => $id, receipt => $receipt, %headers });
    $self->wait_receipt($receipt);
    return $id;
}

sub unsubscribe {
    my ($self, $id, %headers) = @_;
    my $receipt = fresh('receipt');
    $self->stomp->unsubscribe({ id => $id, receipt => $receipt, %headers });
    return $self->wait_receipt($receipt);
}

# ACK or NACK.
sub settle {
    my ($self, $verb, $message, %headers) = @_;
    my $receipt = fresh('receipt');
    my $named = $message->headers;
    my $id = $named->{ack} ? { id => $named->{ack} } : { subscription => $named->{subscription} };
    $self->stomp->$verb({ frame => $message, receipt => $receipt, %$id, %headers });
    return $self->wait_receipt($receipt);
}

# BEGIN, COMMIT or ABORT.
sub transact {
    my ($self, $command, $transaction) = @_;
    my $receipt = fresh('receipt');
    my $headers = { transaction => $transaction, receipt => $receipt };
    $self->stomp->send_frame(Net::Stomp::Frame->new({ command => $command, headers => $headers }));
    return $self->wait_receipt($receipt);
}

sub next_message {
    my ($self) = @_;
    return shift @{ $self->{messages} } || $self->next_frame('MESSAGE');
}

sub take {
    my ($self, $count) = @_;
    return [map { $self->next_message->body } 1 .. $count];
}

# What is published now is the next that comes.
sub assert_nothing_left {
    my ($self, $destination) = @_;
    my $marker = fresh('marker');
    $self->publish($destination, $marker);
    return is_equal($marker, $self->next_message->body);
}

sub wait_receipt {
    my ($self, $receipt) = @_;
    return is_equal($receipt, $self->next_frame('RECEIPT')->headers->{'receipt-id'});
}

sub next_frame {
    my ($self, $command) = @_;
    while (my $frame = $self->stomp->receive_frame) {
        return $frame if $frame->command eq $command;
        die $frame->as_string if $frame->command ne 'MESSAGE';
        push @{ $self->{messages} }, $frame;
    }
    die "hung up where $command was to come";
}

sub disconnect { return $_[0]->stomp->disconnect }

1;
