"""Pages for people: one file of HTML that needs no server, no network and no other file.

In come titles, texts, tables and points; out comes the page's text. Tables and pictures are there without JavaScript;
charts are drawn by it, at the width that there is. All texts are escaped: names come from files and may hold anything.
What is measured or searched does not belong here.
"""
